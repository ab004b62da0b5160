import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { createInsist } from "./insist.ts";
import { scheduleJobs } from "./jobs.ts";
import { startLoad } from "./load.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";

const hour = 3_600_000;
const preload = join(import.meta.dirname, "../support/skewed-clock.ts");

/** An hour ahead, an hour behind, and one whose monotonic clock, too, leaps an hour ahead every few seconds. */
const skews: Record<string, string>[] = [
  { CLOCK_SKEW_MS: String(hour) },
  { CLOCK_SKEW_MS: String(-hour) },
  { CLOCK_SKEW_MS: String(hour), CLOCK_LEAPS_EVERY_MS: "4000" },
];

let system: System;
useSystem(
  {
    seed: 10,
    settings: (i) => ({ ...skews[i], NODE_OPTIONS: `--import=${preload}` }),
  },
  (started) => (system = started),
);

test("the clocks of the replicas are off", async () => {
  const dates = await Promise.all(
    system.replicas.map(async (replica) => {
      const startedAt = await replica.metric("process_start_time_seconds");
      return Math.round((startedAt * 1000 - Date.now()) / hour);
    }),
  );
  expect(dates).toEqual([1, -1, 1]);
});

test("replicas whose clocks are an hour off start jobs at their time, by the database's clock, and lease as ever", async () => {
  const insist = createInsist(system);
  {
    await using load = startLoad(system, { campaigns: 5, workers: 4 });
    const later = await scheduleJobs(insist, 20, { fromMs: hour / 2, toMs: hour });
    const ids: string[] = [];
    for (let round = 0; round < sized(1, 10); round += 1) {
      ids.push(...(await scheduleJobs(insist, 50, { fromMs: 8_000, toMs: 11_000 })));
      await delay(11_000);
    }
    await system.withDatabase((db) =>
      eventually(async () => {
        const rows = await db
          .selectFrom("batch_jobs")
          .select(["status", "start_lag_ms"])
          .where("id", "in", ids)
          .execute();
        expect(rows.filter(({ status }) => status === "scheduled")).toEqual([]);
        const lags = rows.map((row) => row.start_lag_ms ?? 0).toSorted((a, b) => a - b);
        expect(lags.at(0)).toBeGreaterThanOrEqual(0);
        // What a wrong clock claims in vain comes again 5 s later.
        expect(lags.at(Math.floor(lags.length / 2))).toBeLessThan(4_000);
      }, 15_000),
    );
    await system.withDatabase(async (db) => {
      const rows = await db.selectFrom("batch_jobs").select("status").where("id", "in", later).execute();
      expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(["scheduled"]));
    });
    expect(load.calls()).toBeGreaterThan(50);
  }
  expect(await settled(system)).toEqual([]);
  expect(system.badLogLines()).toEqual([]);
}, 180_000);
