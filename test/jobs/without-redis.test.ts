import { afterAll, beforeAll, expect, test } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import { type Repeatable, aRequestId, allowedCases, jobCommands, newTime } from "../support/commands.ts";
import { allKeys } from "../support/everything.ts";
import { jobsWithoutRedis } from "../support/failing.ts";
import { lookAt } from "../support/look.ts";
import { keyOf } from "../support/make-many.ts";
import { aNewJob, makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const createWith = (jobs: Parts["jobs"], id: Repeatable, job: Partial<NewJob>) =>
  jobs.create({ caller: parts.caller, ...id }, aNewJob(job));

test.each(allowedCases.filter(({ command }) => command !== "add_contacts"))(
  "$command of a job that was $status is done in Postgres, and in Redis by the same request again",
  async ({ command, status }) => {
    const twin = await makeWholeJob(parts, { status });
    const job = await makeWholeJob(parts, { status });
    await jobCommands[command](parts.jobs, onJob(parts, twin.id));
    await parts.fanOut.run(keyOf(twin));
    const keysBefore = await allKeys(parts);

    const request = onJob(parts, job.id, aRequestId());
    const first = await jobCommands[command](jobsWithoutRedis(parts), request);
    expect(first.entryRemoved).toBe(false);
    expect(await allKeys(parts)).toEqual(keysBefore);
    const decided = await lookAt(parts, job.id);

    const again = await jobCommands[command](parts.jobs, request);
    await parts.fanOut.run(keyOf(job));
    expect({ ...again, entryRemoved: false }).toEqual(first);
    const [is, as] = [await lookAt(parts, job.id), await lookAt(parts, twin.id)];
    expect(is.row).toEqual(decided.row);
    expect([is.row?.status, is.list, is.entry]).toEqual([as.row?.status, as.list, as.entry]);
    expect(await parts.redis.zscore(parts.keys.due, job.scheduled_job_id ?? "")).toBeNull();
  },
);

test("a repetition that takes the entry off tells so, then and ever after", async () => {
  const { id } = await makeWholeJob(parts, { status: "scheduled" });
  const request = onJob(parts, id, aRequestId());
  await jobsWithoutRedis(parts).start(request);
  expect(await parts.jobs.start(request)).toMatchObject({ entryRemoved: true });
  expect(await parts.jobs.start(request)).toMatchObject({ entryRemoved: true });
});

test("a created job has its entry after the same request again", async () => {
  const id = aRequestId();
  const first = await createWith(jobsWithoutRedis(parts), id, newTime);
  const entry = first.scheduledJobId ?? "";
  expect(await parts.redis.zscore(parts.keys.due, entry)).toBeNull();
  expect(await createWith(parts.jobs, id, newTime)).toEqual(first);
  expect(await parts.redis.zscore(parts.keys.due, entry)).toBe(String(first.scheduledStartTimeMs));
});

test("the same start again gives no list to a job that was cancelled meanwhile", async () => {
  const job = await makeWholeJob(parts);
  const request = onJob(parts, job.id, aRequestId());
  await jobsWithoutRedis(parts).start(request);
  await parts.jobs.cancel(onJob(parts, job.id));
  const before = await lookAt(parts, job.id);
  await parts.jobs.start(request);
  await parts.fanOut.run(keyOf(job));
  expect(before).toMatchObject({ row: { status: "cancelled" }, list: [], position: null });
  expect(await lookAt(parts, job.id)).toEqual(before);
});

test.each(["refuses", "hangs"] as const)("every command is answered while Redis %s", async (way) => {
  const jobs = jobsWithoutRedis(parts, way);
  const created = await createWith(jobs, { ...aRequestId(), requestId: "" }, newTime);
  const { batchJobId: id } = created;
  expect(created).toMatchObject({ status: "scheduled", totalContacts: 3, entryRemoved: false });
  expect(await jobCommands.reschedule(jobs, onJob(parts, id))).toMatchObject({ entryRemoved: false });
  expect(await jobs.start(onJob(parts, id))).toMatchObject({ contactsEnqueued: 3, entryRemoved: false });
  expect(await jobCommands.add_contacts(jobs, onJob(parts, id))).toMatchObject({ acceptedCount: 2 });
  expect(await jobs.cancel(onJob(parts, id))).toMatchObject({ contactsCancelled: 5, entryRemoved: false });
  expect((await lookAt(parts, id)).row).toMatchObject({
    status: "cancelled",
    revision: 5,
    total_contacts: 5,
  });
  expect(await jobs.delete(onJob(parts, id))).toMatchObject({ entryRemoved: false });
  expect((await lookAt(parts, id)).row).toBeUndefined();
});
