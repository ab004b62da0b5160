import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { createInsist } from "./insist.ts";
import { lastOf, makeLargeJob, scheduleJobs, watchList } from "./jobs.ts";
import { startLoad } from "./load.ts";
import { sized } from "./scale.ts";
import { type System, settled } from "./system.ts";
import { useSystem } from "./use-system.ts";

const contacts = sized(300_000, 1_000_000);
const rounds = sized(1, 5);
/** Longer than the leases of the workers, and than any claim or reservation. */
const frozenMs = 14_000;

let system: System;
useSystem({ replicas: 2, seed: 9 }, (started) => (system = started));

test(
  `a replica that stands still past its claims and leases does no harm, and goes on: ${rounds} times`,
  async () => {
    const [sleeper, other] = system.replicas;
    if (sleeper === undefined || other === undefined) throw new Error("there are not two replicas");
    const insist = createInsist(system);
    const random = system.randomOf("frozen");
    for (let round = 0; round < rounds; round += 1) {
      const large = await makeLargeJob(system, contacts);
      using list = watchList(system, large);
      {
        await using load = startLoad(system, { campaigns: 5, workers: 4 });
        const due = await scheduleJobs(insist, 30, { fromMs: 8_000, toMs: 10_000 });
        await eventually(() => expect(load.calls()).toBeGreaterThan(20));
        // It is asked to fan out, and stands still in the middle of it, or after.
        const request = { requestId: randomUUID(), batchJobId: large.id };
        void sleeper.clients.jobs.startBatchJob(request, { timeoutMs: 20_000 }).catch(() => {});
        await eventually(async () => expect(lastOf(await list.position())).toBeGreaterThan(0));
        await delay(random.between(0, 200));
        sleeper.freeze();
        await delay(frozenMs);
        // All of it has gone on without it. Others may lease from the large list; its rest is in order.
        expect(lastOf(await list.position())).toBe(contacts);
        const started = await system.withDatabase((db) =>
          db.selectFrom("batch_jobs").select("status").where("id", "in", due).execute(),
        );
        expect(started.filter(({ status }) => status === "scheduled")).toEqual([]);
        sleeper.thaw();
        await eventually(async () => {
          await sleeper.clients.jobs.listBatchJobs({}, { timeoutMs: 1_000 });
        });
        const end = { requestId: randomUUID(), batchJobId: large.id };
        await insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(end, o));
      }
      expect(await settled(system)).toEqual([]);
    }
    expect(system.badLogLines()).toEqual([]);
    expect(await sleeper.metric("callsheet_redis_up")).toBe(1);
  },
  rounds * 120_000,
);

test("a replica that wakes with a chunk in hand, after another went on, puts nothing on the list", async () => {
  const [sleeper, other] = system.replicas;
  if (sleeper === undefined || other === undefined) throw new Error("there are not two replicas");
  const insist = createInsist(system);
  const large = await makeLargeJob(system, contacts);
  using list = watchList(system, large);
  const last = async () => lastOf(await list.position());
  // It is caught while it reads a chunk, which has all the time in the world; an append would be given up as it wakes.
  sleeper.postgres.delay(100);
  other.redis.delay(40);
  const request = { requestId: randomUUID(), batchJobId: large.id };
  await sleeper.clients.jobs.startBatchJob(request, { timeoutMs: 20_000 });
  await eventually(async () => expect(await last()).toBeGreaterThan(0));
  sleeper.freeze();
  await delay(200);
  const left = await last();
  await eventually(async () => expect(await last()).toBeGreaterThan(left + 10_000), 15_000);
  expect(await last()).toBeLessThan(contacts);
  sleeper.thaw();
  await eventually(async () => expect(await last()).toBe(contacts), 60_000);
  // Both are at rest: what the sleeper had in hand has been decided on.
  await eventually(async () => {
    await sleeper.clients.jobs.listBatchJobs({}, { timeoutMs: 2_000 });
  });
  expect(await list.order()).toEqual({ length: contacts, wrong: [] });
  sleeper.postgres.delay(0);
  other.redis.delay(0);
  const end = { requestId: randomUUID(), batchJobId: large.id };
  await insist("CancelBatchJob", ({ jobs }, o) => jobs.cancelBatchJob(end, o));
  expect(await settled(system)).toEqual([]);
}, 120_000);
