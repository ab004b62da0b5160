import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { jobCommands, newTimeAt } from "../support/commands.ts";
import { type Everything, everything, without } from "../support/everything.ts";
import { type Whole, lookAt, numbersTo } from "../support/look.ts";
import { entryIdOf, keyOf } from "../support/make-many.ts";
import { makeContacts, makeWholeJob, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";
import { oneRevisionOn, rowOf } from "../support/rows.ts";

const statuses = ["pending", "scheduled", "running", "paused", "completed", "failed", "cancelled"] as const;
const open = "pending,scheduled,running,paused";
const waiting = "pending,scheduled";
const atRest = "pending,scheduled,paused,completed,failed,cancelled";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
  // A job in every status stands by; no command on another job may touch them.
  for (const status of statuses) await makeWholeJob(parts, { status });
});
afterAll(() => parts[Symbol.asyncDispose]());

let before: Everything;

async function makeSubject(status: JobStatus) {
  const { id } = await makeWholeJob(parts, { status });
  before = await everything(parts);
  return await lookAt(parts, id);
}

async function expectOthersUntouched(was: Whole): Promise<void> {
  const { id, scheduled_job_id: entry } = rowOf(was);
  const entries = [entry, (await lookAt(parts, id)).row?.scheduled_job_id];
  expect(without(await everything(parts), id, entries)).toEqual(without(before, id, entries));
}

describe("refused, with nothing changed", () => {
  test.each([
    ["start", "running", "already_running", waiting],
    ["start", "paused", "invalid_status", waiting],
    ["start", "completed", "invalid_status", waiting],
    ["start", "failed", "invalid_status", waiting],
    ["start", "cancelled", "invalid_status", waiting],
    ["reschedule", "running", "invalid_status", waiting],
    ["reschedule", "paused", "invalid_status", waiting],
    ["reschedule", "completed", "invalid_status", waiting],
    ["reschedule", "failed", "invalid_status", waiting],
    ["reschedule", "cancelled", "invalid_status", waiting],
    ["pause", "pending", "invalid_status", "running"],
    ["pause", "scheduled", "invalid_status", "running"],
    ["pause", "paused", "invalid_status", "running"],
    ["pause", "completed", "invalid_status", "running"],
    ["pause", "failed", "invalid_status", "running"],
    ["pause", "cancelled", "invalid_status", "running"],
    ["resume", "pending", "invalid_status", "paused"],
    ["resume", "scheduled", "invalid_status", "paused"],
    ["resume", "running", "invalid_status", "paused"],
    ["resume", "completed", "invalid_status", "paused"],
    ["resume", "failed", "invalid_status", "paused"],
    ["resume", "cancelled", "invalid_status", "paused"],
    ["cancel", "completed", "already_terminal", open],
    ["cancel", "failed", "already_terminal", open],
    ["cancel", "cancelled", "already_terminal", open],
    ["delete", "running", "invalid_status", atRest],
    ["add_contacts", "completed", "already_terminal", open],
    ["add_contacts", "failed", "already_terminal", open],
    ["add_contacts", "cancelled", "already_terminal", open],
    ["update", "completed", "not_updatable", open],
    ["update", "failed", "not_updatable", open],
    ["update", "cancelled", "not_updatable", open],
  ] as const)("%s of a %s job: %s", async (command, status, reason, allowedStatuses) => {
    const { id } = rowOf(await makeSubject(status));
    const refused = await refusal(jobCommands[command](parts.jobs, onJob(parts, id)));
    expect(refused).toMatchObject({ reason, metadata: { batchJobId: id, status, allowedStatuses } });
    expect(await everything(parts)).toEqual(before);
  });
});

describe("start", () => {
  test.each([
    { status: "pending", entryRemoved: false },
    { status: "scheduled", entryRemoved: true },
  ] as const)("a $status job runs, with its contacts on its list", async ({ status, entryRemoved }) => {
    const was = await makeSubject(status);
    const { id, organization_id: organizationId, scheduled_job_id: scheduledJobId } = rowOf(was);
    const answer = await parts.jobs.start(onJob(parts, id));
    await parts.fanOut.run({ id, organizationId });
    const is = await lookAt(parts, id);
    expect(answer).toEqual({
      job: { id, organizationId },
      revision: 2,
      statusBefore: status,
      scheduledJobId,
      contactsEnqueued: 3,
      zoneSets: 0,
      startedAtMs: is.row?.started_at?.getTime(),
      entryRemoved,
    });
    expect(is).toEqual({
      row: oneRevisionOn(was, { status: "running", started_at: expect.any(Date), scheduled_job_id: null }),
      contacts: was.contacts,
      list: ["1", "2", "3"],
      position: expect.stringMatching(/^2\.n[0-9a-f]+:3$/),
      entry: null,
    });
    expect(await parts.redis.zscore(parts.keys.due, scheduledJobId ?? "")).toBeNull();
    await expectOthersUntouched(was);
  });
});

describe("reschedule", () => {
  test.each([
    { status: "pending", entryRemoved: false },
    { status: "scheduled", entryRemoved: true },
  ] as const)("a $status job has one entry, a new one, at the new time", async ({ status, entryRemoved }) => {
    const was = await makeSubject(status);
    const { id, scheduled_job_id: oldScheduledJobId } = rowOf(was);
    const answer = await jobCommands.reschedule(parts.jobs, onJob(parts, id));
    const is = await lookAt(parts, id);
    const newScheduledJobId = entryIdOf(rowOf(is));
    expect(answer).toEqual({
      batchJobId: id,
      statusBefore: status,
      oldScheduledJobId,
      newScheduledJobId,
      scheduledStartTimeMs: newTimeAt.getTime(),
      entryRemoved,
    });
    expect(newScheduledJobId).not.toBe(oldScheduledJobId);
    expect(is).toEqual({
      ...was,
      row: oneRevisionOn(was, {
        status: "scheduled",
        requested_start_time: "2031-05-05T10:00:00",
        timezone: "Europe/Berlin",
        scheduled_at: newTimeAt,
        scheduled_job_id: newScheduledJobId,
      }),
      entry: String(newTimeAt.getTime()),
    });
    expect(await parts.redis.zscore(parts.keys.due, oldScheduledJobId ?? "")).toBeNull();
    await expectOthersUntouched(was);
  });
});

describe("pause", () => {
  test("a running job is paused and leaves nothing in Redis", async () => {
    const was = await makeSubject("running");
    const { id, organization_id: organizationId } = rowOf(was);
    expect(await parts.jobs.pause(onJob(parts, id))).toEqual({
      zoneSets: 0,
      job: { id, organizationId },
      revision: 2,
      scheduledJobId: null,
      entryRemoved: false,
    });
    expect(await lookAt(parts, id)).toEqual({
      row: oneRevisionOn(was, { status: "paused" }),
      contacts: was.contacts,
      list: [],
      position: null,
      entry: null,
    });
    await expectOthersUntouched(was);
  });
});

describe("resume", () => {
  test("a paused job runs, with its contacts on its list", async () => {
    const was = await makeSubject("paused");
    const { id, organization_id: organizationId } = rowOf(was);
    const answer = await parts.jobs.resume(onJob(parts, id));
    await parts.fanOut.run({ id, organizationId });
    expect(answer).toEqual({
      job: { id, organizationId },
      revision: 2,
      status: "running",
      zoneSets: 0,
      entryRemoved: false,
    });
    expect(await lookAt(parts, id)).toEqual({
      row: oneRevisionOn(was, { status: "running" }),
      contacts: was.contacts,
      list: ["1", "2", "3"],
      position: expect.stringMatching(/^2\.[0-9a-f]+:3$/),
      entry: null,
    });
    await expectOthersUntouched(was);
  });
});

describe("cancel", () => {
  test.each([
    { status: "pending", entryRemoved: false },
    { status: "scheduled", entryRemoved: true },
    { status: "running", entryRemoved: false },
    { status: "paused", entryRemoved: false },
  ] as const)("a $status job is cancelled and leaves nothing in Redis", async ({ status, entryRemoved }) => {
    const was = await makeSubject(status);
    const { id, organization_id: organizationId, scheduled_job_id: scheduledJobId } = rowOf(was);
    expect(await parts.jobs.cancel(onJob(parts, id))).toEqual({
      zoneSets: 0,
      job: { id, organizationId },
      revision: 2,
      statusBefore: status,
      scheduledJobId,
      contactsCancelled: 3,
      entryRemoved,
    });
    expect(await lookAt(parts, id)).toEqual({
      row: oneRevisionOn(was, { status: "cancelled", finished_at: expect.any(Date), scheduled_job_id: null }),
      contacts: was.contacts,
      list: [],
      position: null,
      entry: null,
    });
    expect(await parts.redis.zscore(parts.keys.due, scheduledJobId ?? "")).toBeNull();
    await expectOthersUntouched(was);
  });
});

describe("delete", () => {
  test.each([
    { status: "pending", entryRemoved: false },
    { status: "scheduled", entryRemoved: true },
    { status: "paused", entryRemoved: false },
    { status: "completed", entryRemoved: false },
    { status: "failed", entryRemoved: false },
    { status: "cancelled", entryRemoved: false },
  ] as const)("a $status job is gone, and its contacts are to go", async ({ status, entryRemoved }) => {
    const was = await makeSubject(status);
    const { id, organization_id: organizationId, scheduled_job_id: scheduledJobId } = rowOf(was);
    expect(await parts.jobs.delete(onJob(parts, id))).toEqual({
      zoneSets: 0,
      job: { id, organizationId },
      revision: 1,
      scheduledJobId,
      entryRemoved,
    });
    expect(await lookAt(parts, id)).toMatchObject({ row: undefined, list: [], position: null, entry: null });
    const { rows } = await everything(parts);
    expect(rows["deleted_jobs"]).toContainEqual({
      organization_id: organizationId,
      job_id: id,
      last_number: 3,
    });
    expect(await parts.redis.zscore(parts.keys.due, scheduledJobId ?? "")).toBeNull();
    await expectOthersUntouched(was);
  });
});

describe("add contacts", () => {
  const added = makeContacts(2, 900_000).map(({ phone }, i) => ({ number: i + 4, phone, status: "pending" }));

  test.each(["pending", "scheduled", "paused"] as const)("a %s job has them and stays", async (status) => {
    const was = await makeSubject(status);
    const { id } = rowOf(was);
    expect(await jobCommands.add_contacts(parts.jobs, onJob(parts, id))).toEqual({
      acceptedCount: 2,
      totalContacts: 5,
      toFanOut: null,
      rejectedCount: 0,
      rejected: [],
      entryRemoved: false,
    });
    expect(await lookAt(parts, id)).toEqual({
      ...was,
      row: oneRevisionOn(was, { total_contacts: 5, pending_contacts: 5 }),
      contacts: [...was.contacts, ...added],
    });
    await expectOthersUntouched(was);
  });

  test("a running job has them on its list too", async () => {
    const was = await makeSubject("running");
    const job = keyOf(rowOf(was));
    const answer = await jobCommands.add_contacts(parts.jobs, onJob(parts, job.id));
    await parts.fanOut.run(job);
    expect(answer).toMatchObject({ acceptedCount: 2, totalContacts: 5, toFanOut: job });
    expect(await lookAt(parts, job.id)).toEqual({
      row: oneRevisionOn(was, { total_contacts: 5, pending_contacts: 5 }),
      contacts: [...was.contacts, ...added],
      list: numbersTo(5),
      position: was.position?.replace(/:3$/, ":5"),
      entry: null,
    });
    await expectOthersUntouched(was);
  });
});

describe("update", () => {
  test.each(["pending", "scheduled", "running", "paused"] as const)(
    "a %s job stays, and is set otherwise",
    async (status) => {
      const was = await makeSubject(status);
      const { id } = rowOf(was);
      expect(await jobCommands.update(parts.jobs, onJob(parts, id))).toEqual({
        job: { ...(await parts.jobs.get(parts.caller, id)), maxAttempts: 7, revision: 2 },
        entryRemoved: false,
      });
      expect(await lookAt(parts, id)).toEqual({ ...was, row: oneRevisionOn(was, { max_attempts: 7 }) });
      await expectOthersUntouched(was);
    },
  );
});
