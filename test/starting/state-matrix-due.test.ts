import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { eventually } from "../support/eventually.ts";
import { everything, without } from "../support/everything.ts";
import { lookAt } from "../support/look.ts";
import { entryIdOf } from "../support/make-many.ts";
import { makeWholeJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { oneRevisionOn } from "../support/rows.ts";

const statuses = ["pending", "scheduled", "running", "paused", "completed", "failed", "cancelled"] as const;

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
  // A job in every status stands by; they may not be touched when another one's time comes.
  for (const status of statuses) await makeWholeJob(parts, { status });
});
afterAll(() => parts[Symbol.asyncDispose]());

/** A scheduled job that was due a second and a half ago. */
async function makeDue(contacts: number) {
  const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1_500, contacts });
  const was = await lookAt(parts, job.id);
  return { id: job.id, entry: entryIdOf(job), was, before: await everything(parts) };
}

const lateness: unknown = expect.toSatisfy((ms: number) => ms >= 1_500 && ms < 60_000);

test("a scheduled job runs when its time comes, and its lateness is kept", async () => {
  const { id, entry, was, before } = await makeDue(3);
  const { started, ...outcome } = await parts.startDue([entry]);
  expect(outcome).toEqual({ done: [entry], later: [], locked: [] });
  expect(started).toEqual([
    {
      key: { id, organizationId: parts.caller.organizationId },
      revision: 2,
      totalContacts: 3,
      zoneSets: 0,
      concurrentCallLimit: 5,
      maxAttempts: 3,
      fromPhoneNumberId: "pn_1",
    },
  ]);
  await parts.fanOut.begin(started);
  const is = await eventually(async () => {
    const now = await lookAt(parts, id);
    expect(now.position).toMatch(/^2\.n[0-9a-f]+:3$/);
    return now;
  });
  expect(is).toEqual({
    row: oneRevisionOn(was, {
      status: "running",
      started_at: expect.any(Date),
      scheduled_job_id: null,
      start_lag_ms: lateness,
    }),
    contacts: was.contacts,
    list: ["1", "2", "3"],
    position: is.position,
    entry: null,
  });
  expect(without(await everything(parts), id, [entry])).toEqual(without(before, id, [entry]));
});

test("a scheduled job without contacts fails when its time comes", async () => {
  const { id, entry, was, before } = await makeDue(0);
  expect(await parts.startDue([entry])).toEqual({ done: [entry], later: [], locked: [], started: [] });
  expect(await lookAt(parts, id)).toEqual({
    row: oneRevisionOn(was, {
      status: "failed",
      failure_reason: "no_contacts",
      finished_at: expect.any(Date),
      scheduled_job_id: null,
      start_lag_ms: lateness,
    }),
    contacts: [],
    list: [],
    position: null,
    entry: null,
  });
  expect(without(await everything(parts), id, [entry])).toEqual(without(before, id, [entry]));
});

test("a scheduled job whose time has not come by the database's clock is left for later", async () => {
  const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: 60_000 });
  const before = await everything(parts);
  const entry = entryIdOf(job);
  expect(await parts.startDue([entry])).toEqual({
    done: [],
    later: [{ scheduledJobId: entry, scheduledStartTimeMs: job.scheduled_at?.getTime() }],
    locked: [],
    started: [],
  });
  expect(await everything(parts)).toEqual(before);
});

test.each<{ status: JobStatus; started: boolean; ended: boolean; reason: string | null }>([
  { status: "pending", started: false, ended: false, reason: null },
  { status: "running", started: true, ended: false, reason: null },
  { status: "paused", started: true, ended: false, reason: null },
  { status: "completed", started: true, ended: true, reason: null },
  { status: "failed", started: true, ended: true, reason: "no_call_completed" },
  { status: "cancelled", started: false, ended: true, reason: null },
])(
  "an entry that a $status job left behind starts nothing when its time comes",
  async ({ status, started, ended, reason }) => {
    const { id, entry } = await makeDue(3);
    await sql`
      update batch_jobs
      set status = ${status}, scheduled_job_id = null, failure_reason = ${reason},
        started_at = case when ${started} then clock_timestamp() end,
        finished_at = case when ${ended} then clock_timestamp() end
      where id = ${id}
    `.execute(parts.db);
    const before = await everything(parts);
    expect(await parts.startDue([entry])).toEqual({ done: [entry], later: [], locked: [], started: [] });
    expect(await everything(parts)).toEqual(before);
  },
);

test("an entry from before a reschedule starts nothing when its time comes", async () => {
  const { id, entry } = await makeDue(3);
  const newEntry = "5d1f7f62-6b0b-4f6f-9c7e-0c9a4a1f0b11";
  await sql`
    update batch_jobs set scheduled_job_id = ${newEntry}, scheduled_at = clock_timestamp() - interval '1 second'
    where id = ${id}
  `.execute(parts.db);
  const before = await everything(parts);
  expect(await parts.startDue([entry])).toEqual({ done: [entry], later: [], locked: [], started: [] });
  expect(await everything(parts)).toEqual(before);

  // The control: the new entry, whose time has come too, starts the job.
  await parts.startDue([newEntry]);
  expect((await lookAt(parts, id)).row).toMatchObject({ status: "running", revision: 2 });
});

test.each(["not-a-uuid", "5d1f7f62-6b0b-4f6f-9c7e-0c9a4a1f0b12"])(
  "an entry that never stood for a job starts nothing: %s",
  async (entry) => {
    const before = await everything(parts);
    expect(await parts.startDue([entry])).toEqual({ done: [entry], later: [], locked: [], started: [] });
    expect(await everything(parts)).toEqual(before);
  },
);
