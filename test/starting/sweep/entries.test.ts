import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, numbersTo } from "../../support/look.ts";
import { aNewJob, makeJob, makeWholeJob, onJob } from "../../support/make.ts";
import { makeJobs, makeJobsWithKeys } from "../../support/make-many.ts";
import type { Parts } from "../../support/parts.ts";
import { removeKeysUnder } from "../../support/redis-keys.ts";
import { cutOff, expectQuiet, settle, sweep } from "./passes.ts";

const freshParts = useFreshParts();
const hourMs = 3_600_000;
const yearMs = 365 * 24 * hourMs;

async function dueEntries({ redis, keys }: Parts): Promise<Record<string, string>> {
  const pairs = await redis.zrange(keys.due, "0", "-1", "WITHSCORES");
  return Object.fromEntries(pairs.flatMap((id, i) => (i % 2 === 0 ? [[id, pairs[i + 1] ?? ""]] : [])));
}

describe("an entry that stands for nothing is taken off", () => {
  const entryOfItsOwn = { status: "scheduled" } as const;

  test("when its job was cancelled", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, entryOfItsOwn);
    const bystander = await makeWholeJob(parts, entryOfItsOwn);
    await using other = await cutOff(parts);
    await other.jobs.cancel(onJob(parts, job.id));
    expect(await sweep(parts, 2)).toEqual({ entry_stale: 1 });
    expect(Object.keys(await dueEntries(parts))).toEqual([bystander.scheduled_job_id]);
    await expectQuiet(parts);
  });

  test("when its job was deleted", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, entryOfItsOwn);
    await using other = await cutOff(parts);
    await other.jobs.delete(onJob(parts, job.id));
    expect(await sweep(parts, 2)).toEqual({ entry_stale: 1 });
    expect(await dueEntries(parts)).toEqual({});
    await expectQuiet(parts);
  });

  test("when its job was started, and the list of the job is made", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, entryOfItsOwn);
    await using other = await cutOff(parts);
    await other.jobs.start(onJob(parts, job.id));
    await settle(parts);
    expect(await sweep(parts, 2)).toEqual({ entry_stale: 1, position_lost: 1 });
    expect(await dueEntries(parts)).toEqual({});
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
    await expectQuiet(parts);
  });

  test("when its job was rescheduled, and the new entry is added once it is due soon", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, entryOfItsOwn);
    await using other = await cutOff(parts);
    const inAMinute = new Date(parts.clock.now() + 50_000);
    await other.jobs.reschedule(onJob(parts, job.id), {
      requestedStartTime: inAMinute.toISOString(),
      timeZone: "",
    });
    await settle(parts);
    expect(await sweep(parts, 2)).toEqual({ entry_stale: 1, entry_missing: 1 });
    const { row, entry } = await lookAt(parts, job.id);
    expect(Object.keys(await dueEntries(parts))).toEqual([row?.scheduled_job_id]);
    expect(entry).toBe(String(inAMinute.getTime()));
    await expectQuiet(parts);
  });

  test("when there never was such a job", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, entryOfItsOwn);
    for (const scheduledJobId of [randomUUID(), "no uuid", ""])
      await parts.schedule.add({ scheduledJobId, scheduledStartTimeMs: 1 });
    expect(await sweep(parts, 2)).toEqual({ entry_stale: 3 });
    expect(await dueEntries(parts)).toEqual({
      [job.scheduled_job_id ?? ""]: String(job.scheduled_at?.getTime()),
    });
    await expectQuiet(parts);
  });

  test("however many of them there are, over as many passes as that takes", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const jobs = await makeJobsWithKeys(parts, 1_500, { status: "scheduled", contacts: 0 });
    const junk = Array.from({ length: 1_500 }, () => ({
      scheduledJobId: randomUUID(),
      scheduledStartTimeMs: 1,
    }));
    await parts.schedule.addMissing(junk);
    await eventually(async () => expect(await sweep(parts, 2)).toEqual({ entry_stale: 1_500 }));
    expect(await parts.redis.zcard(parts.keys.due)).toBe(jobs.length);
    await expectQuiet(parts);
  });

  test("slice by slice, so that no pass keeps more than one in mind", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const junk = Array.from({ length: 10_000 }, () => ({
      scheduledJobId: randomUUID(),
      scheduledStartTimeMs: 1,
    }));
    await parts.schedule.addMissing(junk);
    const { entry_stale: removed } = await sweep(parts, 2);
    expect(removed).toBeGreaterThanOrEqual(500);
    expect(removed).toBeLessThan(5_000);
  });
});

describe("an entry that is missing is added", () => {
  for (const [when, dueInMs] of [
    ["due soon", 30_000],
    ["due already", -1_000],
  ] as const) {
    test(`when its job is ${when}`, async () => {
      await using parts = await freshParts();
      await parts.schedule.markFilled();
      const job = await makeJob(parts, { status: "scheduled", dueInMs });
      const present = await makeWholeJob(parts, { status: "scheduled", dueInMs });
      expect(await sweep(parts, 1)).toEqual({ entry_missing: 1 });
      expect(await lookAt(parts, job.id)).toMatchObject({
        row: job,
        entry: String(job.scheduled_at?.getTime()),
      });
      expect((await lookAt(parts, present.id)).entry).toBe(String(present.scheduled_at?.getTime()));
      await expectQuiet(parts);
    });
  }

  test("only when its command has had the time to do it", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    await using other = await cutOff(parts);
    const soon = new Date(parts.clock.now() + 30_000).toISOString();
    await other.jobs.create(onJob(parts, ""), aNewJob({ requestedStartTime: soon }));
    expect(await sweep(parts, 1)).toEqual({});
    await settle(parts);
    expect(await sweep(parts, 1)).toEqual({ entry_missing: 1 });
    await expectQuiet(parts);
  });

  test("for all scheduled jobs, however far off, when the sorted set has lost its mark", async () => {
    await using parts = await freshParts();
    const lost = await makeJobs(parts, 1_503, { status: "scheduled", dueInMs: yearMs, contacts: 0 });
    const kept = await makeJobsWithKeys(parts, 2, { status: "scheduled", dueInMs: yearMs, contacts: 0 });
    expect(await sweep(parts, 1)).toEqual({ schedule_refilled: 1_503 });
    expect(await dueEntries(parts)).toEqual(
      Object.fromEntries(
        [...lost, ...kept].map((job) => [job.scheduled_job_id, String(job.scheduled_at?.getTime())]),
      ),
    );
    await expectQuiet(parts);
  });

  test("for jobs that were scheduled a moment before the sorted set lost its mark", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const { id } = await makeJob(parts);
    const time = { requestedStartTime: "2035-03-01T10:00", timeZone: "UTC" };
    const { newScheduledJobId, scheduledStartTimeMs } = await parts.jobs.reschedule(onJob(parts, id), time);
    await removeKeysUnder(parts.redis, parts.prefix);
    expect(await sweep(parts, 1)).toEqual({ schedule_refilled: 1 });
    expect(await dueEntries(parts)).toEqual({ [newScheduledJobId]: String(scheduledStartTimeMs) });
  });
});

describe("an entry that stands too late", () => {
  test("is brought forward when its job is overdue", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeJob(parts, { status: "scheduled", dueInMs: -20_000 });
    await parts.schedule.add({
      scheduledJobId: job.scheduled_job_id ?? "",
      scheduledStartTimeMs: parts.clock.now() + hourMs,
    });
    expect(await sweep(parts, 1)).toEqual({ entry_late: 1 });
    expect((await lookAt(parts, job.id)).entry).toBe(String(job.scheduled_at?.getTime()));
    await expectQuiet(parts);
  });

  test("is left alone while a replica may hold it", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -20_000 });
    await parts.schedule.claim(parts.clock.now(), 1, 10_000);
    const { entry } = await lookAt(parts, job.id);
    expect(await sweep(parts, 2)).toEqual({});
    expect((await lookAt(parts, job.id)).entry).toBe(entry);
  });
});
