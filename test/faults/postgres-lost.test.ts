import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { runCampaign } from "./campaign.ts";
import type { Tried } from "./history.ts";
import { createInsist } from "./insist.ts";
import { scheduleJobs } from "./jobs.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";
import { startWorkers } from "./workers.ts";

const awayMs = sized(3_500, 20_000);
const campaigns = sized(8, 40);

let system: System;
useSystem({ replicas: 2, seed: 6 }, (started) => (system = started));

/** Each ends with Postgres there again. */
const losses = {
  "is stopped at once and started again": async () => {
    await system.servers.postgres.kill();
    await delay(500);
    await system.servers.postgres.start();
  },
  "has all its connections terminated, five times": async () => {
    for (let i = 0; i < 5; i += 1) {
      await system.withDatabase((db) =>
        sql`select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname is not null`.execute(
          db,
        ),
      );
      await delay(300);
    }
  },
  [`stands still for ${awayMs / 1000} s`]: async () => {
    await system.servers.postgres.freeze();
    await delay(awayMs);
    system.servers.postgres.thaw();
  },
  [`refuses connections for ${awayMs / 1000} s`]: async () => {
    for (const replica of system.replicas) await replica.postgres.cut();
    await delay(awayMs);
    for (const replica of system.replicas) await replica.postgres.mend();
  },
};

test.each(Object.entries(losses))(
  "when Postgres %s, calls end within 2 s, nothing answered is lost, and all goes on by itself",
  async (way, lose) => {
    const { history } = system;
    const insist = createInsist(system);
    // A call waits for contacts as long as it was asked to.
    const triedFrom = (index: number) =>
      history.tried.slice(index).filter(({ rpc }) => rpc !== "LeaseContacts");
    const first = history.tried.length;
    {
      await using workers = startWorkers(system, insist, { count: 4 });
      const running = Promise.all(
        Array.from({ length: campaigns }, (_, i) =>
          runCampaign(system, insist, { random: system.randomOf(`${way} ${i}`) }),
        ),
      );
      const due = await scheduleJobs(insist, 10, { fromMs: 4_000, toMs: 6_000 });
      await eventually(() => expect(workers.calls()).toBeGreaterThan(20));
      const before = history.tried.length;
      // A machine that is busy with others is slow before as well.
      const usualMs = Math.max(...triedFrom(first).map(({ ms }) => ms));
      const lostAt = performance.now();
      await lose();
      const backAt = performance.now();
      await running;
      const tries = triedFrom(before);
      const without = ({ at, ms }: Tried) => at + ms - Math.max(at, lostAt);
      // Who waited until it was back comes with all others then: some calls have many steps.
      const allowedMs = ({ at, ms }: Tried) => 2_000 + (at + ms > backAt ? 2 * usualMs : usualMs);
      expect(tries.filter((tried) => without(tried) >= allowedMs(tried))).toEqual([]);
      expect(tries.filter(({ end }) => !mayEnd.has(end))).toEqual([]);
      await system.withDatabase((db) =>
        eventually(async () => {
          const rows = await db.selectFrom("batch_jobs").select("status").where("id", "in", due).execute();
          expect(rows.filter(({ status }) => status === "scheduled" || status === "running")).toEqual([]);
        }, 30_000),
      );
    }
    expect(await settled(system)).toEqual([]);
    expect(system.badLogLines()).toEqual([]);
  },
  180_000,
);

/** How calls may end; a refusal is what the job's own progress explains, or the campaign would have failed. */
const mayEnd = new Set([
  "ok",
  "unavailable",
  "past_scheduled_time",
  "already_running",
  "already_terminal",
  "invalid_status",
  "not_updatable",
]);
