import { describe, expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { lookAt, inSet0, numbersTo } from "../../support/look.ts";
import { makeContacts, makeJob, makeWholeJob, onJob } from "../../support/make.ts";
import { keyOf, makeJobs } from "../../support/make-many.ts";
import { type Parts, startParts } from "../../support/parts.ts";
import { removeKeysUnder } from "../../support/redis-keys.ts";
import { cutOff, expectQuiet, settle, sweep } from "./passes.ts";

const freshParts = useFreshParts();
const yearMs = 365 * 24 * 3_600_000;

/** A running job of 10 whose fan-out stopped after 4. */
async function makeStopped(parts: Parts) {
  await parts.schedule.markFilled();
  const job = await makeJob(parts, { status: "running", contacts: 10 });
  await parts.contactList.create(keyOf(job), job.revision);
  const start = await parts.contactList.position(keyOf(job));
  if (start === undefined) throw new Error("the job has no position");
  await parts.contactList.append(keyOf(job), start, 4, inSet0([1, 2, 3, 4]));
  return { job, at: { ...start, last: 4 } };
}

describe("a fan-out that stands still goes on", () => {
  test("at the second pass that finds it where it was", async () => {
    await using parts = await freshParts();
    const { job } = await makeStopped(parts);
    expect(await sweep(parts, 1)).toEqual({});
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(4));
    expect(await sweep(parts, 1)).toEqual({ fan_out_stopped: 1 });
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(10));
    await expectQuiet(parts);
  });

  test("but is left alone while another replica moves it on", async () => {
    await using parts = await freshParts();
    const { job, at } = await makeStopped(parts);
    await sweep(parts, 1);
    await parts.contactList.append(keyOf(job), at, 6, inSet0([5, 6]));
    expect(await sweep(parts, 1)).toEqual({});
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(6));
  });

  test("with contacts that were added while Redis was away", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running" });
    await using other = await cutOff(parts);
    await other.jobs.addContacts(onJob(parts, job.id), makeContacts(2, 100));
    await settle(parts);
    expect(await sweep(parts, 2)).toEqual({ fan_out_stopped: 1 });
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(5));
    await expectQuiet(parts);
  });
});

describe("a list that was lost is made again", () => {
  test("with its position", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running" });
    await parts.contactList.unlink(keyOf(job), job.revision);
    expect(await sweep(parts, 1)).toEqual({ position_lost: 1 });
    const { list, position } = await lookAt(parts, job.id);
    expect(list).toEqual(numbersTo(3));
    expect(position).toMatch(/:3$/);
    await expectQuiet(parts);
  });

  test("and what is left of it without a position goes", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running" });
    await parts.redis.unlink(parts.keys.position(keyOf(job)));
    await parts.redis.ltrim(parts.keys.contacts(keyOf(job)), "1", "1");
    expect(await sweep(parts, 1)).toEqual({ position_lost: 1 });
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
    await expectQuiet(parts);
  });

  test("when it is empty, and contacts are pending, at the second pass that finds it so", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running", contacts: 5, dialing: 2 });
    const { position } = await lookAt(parts, job.id);
    await parts.redis.unlink(parts.keys.contacts(keyOf(job)));
    expect(await sweep(parts, 1)).toEqual({});
    expect(await sweep(parts, 1)).toEqual({ list_drained: 1 });
    const after = await lookAt(parts, job.id);
    expect(after.list).toEqual(["3", "4", "5"]);
    expect(after.position).not.toBe(position);
    await expectQuiet(parts);
  });

  test("but not when it is empty because every contact has been called", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running", contacts: 2, dialing: 2 });
    expect((await lookAt(parts, job.id)).list).toEqual([]);
    expect(await sweep(parts, 3)).toEqual({});
  });

  test("together with all entries when Redis has lost everything", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const running = await makeWholeJob(parts, { status: "running" });
    const scheduled = await makeWholeJob(parts, { status: "scheduled", dueInMs: yearMs });
    const before = [await lookAt(parts, running.id), await lookAt(parts, scheduled.id)];
    await removeKeysUnder(parts.redis, parts.prefix);
    expect(await sweep(parts, 1)).toEqual({ schedule_refilled: 1, position_lost: 1 });
    const after = [await lookAt(parts, running.id), await lookAt(parts, scheduled.id)];
    const position = expect.stringMatching(/:3$/);
    expect(after).toEqual([{ ...before[0], position }, before[1]]);
    await expectQuiet(parts);
  });

  test("once, by two replicas that sweep at the same time", async () => {
    await using parts = await freshParts();
    await using other = await startParts({ beside: parts });
    await parts.schedule.markFilled();
    const jobs = await makeJobs(parts, 50, { status: "running" });
    await Promise.all([parts.sweep.pass(), other.sweep.pass()]);
    await eventually(async () => {
      const lists = await Promise.all(jobs.map(async (job) => (await lookAt(parts, job.id)).list));
      expect(lists).toEqual(jobs.map(() => numbersTo(3)));
    });
    await expectQuiet(parts);
    await expectQuiet(other);
  });
});

describe("keys of a job that does not run are taken away", () => {
  test("when it was cancelled while Redis was away, at the second pass that finds them", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running" });
    const bystander = await makeWholeJob(parts, { status: "running" });
    await using other = await cutOff(parts);
    await other.jobs.cancel(onJob(parts, job.id));
    expect(await sweep(parts, 1)).toEqual({});
    expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3));
    await eventually(async () => expect(await sweep(parts, 1)).toEqual({ keys_left: 1 }));
    expect(await lookAt(parts, job.id)).toMatchObject({ list: [], position: null });
    expect((await lookAt(parts, bystander.id)).list).toEqual(numbersTo(3));
    await expectQuiet(parts);
  });

  test("when it is gone, and of its keys one is there", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const jobs = [makeWholeJob(parts, { status: "running" }), makeWholeJob(parts, { status: "running" })];
    const [one, other] = (await Promise.all(jobs)).map(keyOf);
    if (one === undefined || other === undefined) throw new Error("there are two");
    await parts.redis.unlink(parts.keys.position(one));
    await parts.redis.unlink(parts.keys.contacts(other));
    await parts.db.deleteFrom("batch_jobs").execute();
    await eventually(async () => expect(await sweep(parts, 1)).toEqual({ keys_left: 2 }));
    expect(await parts.redis.exists(parts.keys.contacts(one))).toBe(0);
    expect(await parts.redis.exists(parts.keys.position(other))).toBe(0);
    await expectQuiet(parts);
  });

  test("but not those of one that is resumed between two passes", async () => {
    await using parts = await freshParts();
    await parts.schedule.markFilled();
    const job = await makeWholeJob(parts, { status: "running" });
    await using other = await cutOff(parts);
    await other.jobs.pause(onJob(parts, job.id));
    await sweep(parts, 1);
    await parts.jobs.resume(onJob(parts, job.id));
    const before = await lookAt(parts, job.id);
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
    expect(await sweep(parts, 2)).toEqual({});
    expect((await lookAt(parts, job.id)).row).toEqual(before.row);
  });
});
