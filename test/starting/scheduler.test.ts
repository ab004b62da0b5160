import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { Clock } from "../../src/vitals/clock.ts";
import { createDueStarts } from "../../src/starting/due-starts.ts";
import { databaseNow, lockScheduledJob } from "../../src/postgres/jobs/batch-jobs.ts";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { makeWholeJob } from "../support/make.ts";
import { entryIdOf, makeJobsWithKeys } from "../support/make-many.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { writeCancel } from "../support/write-jobs.ts";

const freshParts = useFreshParts();
const hourMs = 3_600_000;

async function countByStatus({ db }: Parts): Promise<Record<string, number>> {
  const rows = await db
    .selectFrom("batch_jobs")
    .select(["status", (eb) => eb.fn.countAll<number>().as("count")])
    .groupBy("status")
    .execute();
  return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
}

/** The replica's clock, wrong by so much until it is measured. */
function wrongBy(skewMs: number, { clock }: Parts): Clock {
  let skew = skewMs;
  return {
    now: () => clock.now() + skew,
    async measure() {
      await clock.measure();
      skew = 0;
    },
  };
}

describe("a pass", () => {
  test("starts all jobs that are due, however many, and tells when there is none left", async () => {
    await using parts = await freshParts();
    await makeJobsWithKeys(parts, 4_003, { status: "scheduled", dueInMs: -1, contacts: 1 });
    await runSchedulerPass(parts);
    expect(await countByStatus(parts)).toEqual({ running: 4_003 });
    expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
    expect(await runSchedulerPass(parts)).toBeUndefined();
  });

  test.each([
    [2_000, [2_000]],
    [12_000, [10_000, 2_000]],
  ])(
    "of %i due jobs starts them before it fills lists, but keeps no more than 10,000 waiting",
    async (count, groups) => {
      await using parts = await freshParts();
      await makeJobsWithKeys(parts, count, { status: "scheduled", dueInMs: -1, contacts: 1 });
      const begun: number[] = [];
      const offered: number[] = [];
      const begin: Parts["fanOut"]["begin"] = async (jobs) => {
        begun.push(jobs.length);
        return await parts.fanOut.begin(jobs);
      };
      await runSchedulerPass({ ...parts, fanOut: { begin }, onStarted: (jobs) => offered.push(jobs.length) });
      expect(begun).toEqual(groups);
      // What is offered to workers is on its way onto lists.
      expect(offered).toEqual([]);
      await eventually(async () => {
        const { values } = await parts.metrics.fanOutContacts.get();
        expect(values).toMatchObject([{ value: count }]);
      });
    },
  );

  test("that is stopped leaves the rest to the next one", async () => {
    await using parts = await freshParts();
    await makeJobsWithKeys(parts, 4_003, { status: "scheduled", dueInMs: -1, contacts: 1 });
    await runSchedulerPass(parts, AbortSignal.abort());
    expect(await countByStatus(parts)).toEqual({ running: 3_000, scheduled: 1_003 });
    expect(await parts.redis.zcard(parts.keys.due)).toBe(1_003);
    await runSchedulerPass(parts);
    expect(await countByStatus(parts)).toEqual({ running: 4_003 });
  });

  test("puts the contacts of what it starts on their list, and tells when the next one is due", async () => {
    await using parts = await freshParts();
    const due = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
    const next = await makeWholeJob(parts, { status: "scheduled", dueInMs: hourMs });
    expect(await runSchedulerPass(parts)).toBeLessThanOrEqual(parts.clock.now());
    expect(await runSchedulerPass(parts)).toBe(next.scheduled_at?.getTime());
    await eventually(async () => expect((await lookAt(parts, due.id)).list).toEqual(numbersTo(3)));
    expect((await lookAt(parts, next.id)).row).toEqual(next);
  });

  test("fails a job that has no contacts", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1, contacts: 0 });
    await runSchedulerPass(parts);
    expect(await lookAt(parts, job.id)).toMatchObject({
      row: { status: "failed", failure_reason: "no_contacts", revision: 2, started_at: null },
      position: null,
    });
    expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
  });

  test("takes off entries that stand for nothing", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
    await parts.db.transaction().execute((trx) => writeCancel(trx, job));
    await parts.schedule.add({
      scheduledJobId: "b3b1c6f4-0000-4000-8000-000000000000",
      scheduledStartTimeMs: 1,
    });
    await parts.schedule.add({ scheduledJobId: "no uuid", scheduledStartTimeMs: 2 });
    await runSchedulerPass(parts);
    expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
    expect((await lookAt(parts, job.id)).row).toMatchObject({ status: "cancelled", revision: 2 });
  });
});

describe("one job that cannot be started does not stop the others", () => {
  test("because someone has locked its row: the pass waits for nobody, and a later one starts it", async () => {
    await using parts = await freshParts();
    const [locked, ...others] = await makeJobsWithKeys(parts, 5, { status: "scheduled", dueInMs: -1_000 });
    const entryId = locked ? entryIdOf(locked) : "";
    await parts.db.transaction().execute(async (trx) => {
      await lockScheduledJob(trx, entryId);
      await runSchedulerPass(parts);
      expect(await countByStatus(parts)).toEqual({ running: others.length, scheduled: 1 });
    });
    // Long before its claim runs out.
    const [again] = await parts.schedule.dueTimes([entryId]);
    expect(Number(again) - parts.clock.now()).toBeLessThanOrEqual(50);
    await runSchedulerPass({ ...parts, clock: wrongBy(50, parts) });
    expect(await countByStatus(parts)).toEqual({ running: 5 });
    expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
  });

  test("because its row is locked, were there hundreds of them, and more than a batch", async () => {
    await using parts = await freshParts();
    const locked = await makeJobsWithKeys(parts, 1_200, {
      status: "scheduled",
      dueInMs: -2_000,
      contacts: 1,
    });
    await parts.db.transaction().execute(async (trx) => {
      await sql`select from batch_jobs for update`.execute(trx);
      await makeJobsWithKeys(parts, 200, { status: "scheduled", dueInMs: -1_000, contacts: 1 });
      await runSchedulerPass(parts);
      expect(await countByStatus(parts)).toEqual({ running: 200, scheduled: locked.length });
    });
  });

  test("because Postgres refuses what its start would write", async () => {
    await using parts = await freshParts();
    await sql`
      create or replace function refuse() returns trigger language plpgsql as
      $$ begin raise exception 'this job cannot be started'; end $$`.execute(parts.db);
    await sql`
      create or replace trigger refuse before update on batch_jobs
      for each row when (new.name = 'Refused') execute function refuse()`.execute(parts.db);
    const refused = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1_000, name: "Refused" });
    await makeJobsWithKeys(parts, 40, { status: "scheduled", dueInMs: -1_000 });
    await Promise.allSettled([runSchedulerPass(parts)]);
    expect(await countByStatus(parts)).toEqual({ running: 40, scheduled: 1 });
    expect(await parts.redis.zrange(parts.keys.due, "0", "-1")).toEqual([refused.scheduled_job_id]);
  });
});

test("an entry is started at once if its time came after Postgres looked for what is due", async () => {
  await using parts = await freshParts();
  const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: 300 });
  const untilDue = () =>
    eventually(async () =>
      expect((await databaseNow(parts.db)).getTime()).toBeGreaterThan(Number(job.scheduled_at)),
    );
  const db = parts.db.withPlugin({
    transformQuery: ({ node }) => node,
    async transformResult({ result }) {
      await untilDue();
      return result;
    },
  });
  const { started, ...outcome } = await createDueStarts({ ...parts, db }).startDue([entryIdOf(job)]);
  expect(outcome).toEqual({ done: [entryIdOf(job)], later: [], locked: [] });
  expect(started.map(({ key }) => key.id)).toEqual([job.id]);
});

describe("a replica whose clock is wrong", () => {
  test("by an hour ahead starts nothing early, gives entries their times back, and measures its clock", async () => {
    await using parts = await freshParts();
    const due = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
    const early = await makeWholeJob(parts, { status: "scheduled", dueInMs: hourMs / 2 });
    const clock = wrongBy(hourMs, parts);
    await runSchedulerPass({ ...parts, clock });
    expect((await lookAt(parts, due.id)).row).toMatchObject({ status: "running" });
    expect(await lookAt(parts, early.id)).toMatchObject({
      row: early,
      entry: String(early.scheduled_at?.getTime()),
    });
    expect(Math.abs(clock.now() - parts.clock.now())).toBeLessThan(hourMs / 60);
    expect(await runSchedulerPass({ ...parts, clock })).toBe(early.scheduled_at?.getTime());
  });

  test("by an hour behind leaves due entries as they are, for other replicas or until it measures its clock", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1_000 });
    const clock = wrongBy(-hourMs, parts);
    expect(await runSchedulerPass({ ...parts, clock })).toBe(job.scheduled_at?.getTime());
    expect((await lookAt(parts, job.id)).row).toEqual(job);
    await clock.measure();
    await runSchedulerPass({ ...parts, clock });
    expect((await lookAt(parts, job.id)).row).toMatchObject({ status: "running", revision: 2 });
  });
});

describe("entries that were claimed", () => {
  test("have their old times again when Postgres fails", async () => {
    await using parts = await freshParts();
    await makeJobsWithKeys(parts, 3, { status: "scheduled", dueInMs: -5_000 });
    await parts.schedule.add({
      scheduledJobId: "b3b1c6f4-0000-4000-8000-000000000000",
      scheduledStartTimeMs: 1,
    });
    const before = await parts.redis.zrange(parts.keys.due, "0", "-1", "WITHSCORES");
    const failing = runSchedulerPass({
      ...parts,
      startDue: async () => await Promise.reject(new Error("Postgres is away")),
    });
    await expect(failing).rejects.toThrow("Postgres is away");
    expect(await parts.redis.zrange(parts.keys.due, "0", "-1", "WITHSCORES")).toEqual(before);
    expect(await countByStatus(parts)).toEqual({ scheduled: 3 });
  });

  test("by a replica that died come due again after 5 seconds, for any replica", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
    const before = parts.clock.now();
    // Its pass never gets further than this.
    const dying = runSchedulerPass({ ...parts, startDue: () => Promise.withResolvers<never>().promise });
    await eventually(async () => expect(Number((await lookAt(parts, job.id)).entry)).toBeGreaterThan(before));
    const heldUntil = Number((await lookAt(parts, job.id)).entry);
    expect(heldUntil).toBeGreaterThanOrEqual(before + 5_000);
    expect(heldUntil).toBeLessThanOrEqual(parts.clock.now() + 5_000);
    expect(await runSchedulerPass(other)).toBe(heldUntil);
    expect((await lookAt(parts, job.id)).row).toEqual(job);

    const muchLater: Clock = { ...other.clock, now: () => heldUntil };
    await runSchedulerPass({ ...other, clock: muchLater });
    expect((await lookAt(parts, job.id)).row).toMatchObject({ status: "running", revision: 2 });
    expect(await Promise.race([dying, "still in hand"])).toBe("still in hand");
  });
});
