import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { BatchJobStatus, ContactStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { runEndPass } from "../../src/jobs/commands/ending.ts";
import { runResumePass } from "../../src/jobs/commands/resuming.ts";
import { dueEnds, endDueJobs } from "../../src/postgres/jobs/ends.ts";
import { openLeases } from "../../src/postgres/leasing/leases.ts";
import {
  lease,
  leaseOne,
  makeRetriesDue,
  release,
  report,
  reportAll,
  runJob,
  runOut,
} from "../leasing/leases.ts";
import { breaches } from "../support/breaches.ts";
import { jobCommands } from "../support/commands.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt } from "../support/look.ts";
import { entryIdOf } from "../support/make-many.ts";
import { aNewJob, makeContacts, makeWholeJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";
import { rowOf } from "../support/rows.ts";
import { startTestService } from "../support/service.ts";

/* A job that ends at a time, whatever is left of it. */

let parts: Parts;
let there: Parts;
onTwoReplicasInNewOrganizations((here, beside) => {
  parts = here;
  there = beside;
});

const inAnHour = () => new Date(Date.now() + 3_600_000);
const past = () => new Date(Date.now() - 1_000);
const tomorrow = () => new Date(Date.now() + 86_400_000);

/** Has the end of a job come a second ago. */
const letItCome = (id: string) =>
  parts.db
    .updateTable("batch_jobs")
    .set({ end_at: sql<Date>`clock_timestamp() - interval '1 second'` })
    .where("id", "=", id)
    .execute();

async function endNow(id: string): Promise<void> {
  await letItCome(id);
  await runEndPass(parts);
}

/** While Redis is away. */
const doNothing: Parts["doRedisHalves"] = (_db, _organizationId, commands) =>
  commands.map(async ({ answer }) => ({ ...answer, entryRemoved: false }));

const jobOf = (id: string) => parts.jobs.get(parts.caller, id);
const statusesOf = async (id: string) =>
  (await parts.jobs.listContacts(parts.caller, id, [], { size: 100, token: "" })).contacts.map(
    ({ status }) => status,
  );

describe("once its end has come", () => {
  test("no contact of a job is leased, also before anybody has ended it", async () => {
    const id = await runJob(parts, { endAt: inAnHour() });
    await letItCome(id);
    expect(await lease(parts, { maxContacts: 3 })).toEqual([]);
    expect(await jobOf(id)).toMatchObject({ status: "running", counts: { pending: 3, dialing: 0 } });
  });

  test("none is leased by a call that had taken its number off the list before", async () => {
    const id = await runJob(parts, { endAt: inAnHour() });
    const { organizationId } = parts.caller;
    const demand = { workerId: "worker-1", requestId: "", ticket: 0, maxContacts: 3, durationMs: 60_000 };
    const choice = { onlyJobIds: [], afterJobId: "00000000-0000-0000-0000-000000000000", ending: new Map() };
    const prepared = await parts.round.prepare(organizationId, [demand], choice);
    await letItCome(id);
    const opened = await openLeases(parts.db, organizationId, prepared.offers, prepared.takersOf([demand]));
    expect(opened).toEqual({ leases: [[]], left: [[1, 2, 3]], repeated: [], suppressed: [] });
    prepared.conclude(opened);
  });

  test("a retry that has come due is leased no more, and what ends is not tried again", async () => {
    const id = await runJob(parts, { contacts: makeContacts(2), retryDelaysMs: [0], endAt: inAnHour() });
    const [first, second] = await lease(parts, { maxContacts: 2 });
    await reportAll(parts, first === undefined ? [] : [first], "busy");
    await makeRetriesDue(parts, id);
    await letItCome(id);
    expect(await lease(parts)).toEqual([]);
    expect(await reportAll(parts, second === undefined ? [] : [second], "busy")).toMatchObject([
      { kind: "recorded", contactStatus: "busy", nextAttemptAt: null },
    ]);
    await runEndPass(parts);
    expect(await statusesOf(id)).toEqual(["expired", "busy"]);
    expect(await breaches(parts, [id])).toEqual({});
  });

  test.each([
    ["start", "pending", "invalid_status"],
    ["start", "scheduled", "invalid_status"],
    ["reschedule", "scheduled", "invalid_status"],
    ["pause", "running", "invalid_status"],
    ["resume", "paused", "invalid_status"],
    ["cancel", "running", "already_terminal"],
    ["add_contacts", "running", "already_terminal"],
    ["update", "running", "not_updatable"],
  ] as const)(
    "to %s a %s job is refused, also before anybody has ended it",
    async (command, status, reason) => {
      const { id } = await makeWholeJob(parts, { status });
      await letItCome(id);
      const before = await lookAt(parts, id);
      expect(await refusal(jobCommands[command](parts.jobs, onJob(parts, id)))).toMatchObject({
        reason,
        metadata: { status: "failed" },
      });
      expect(await lookAt(parts, id)).toEqual(before);
    },
  );

  test("a job can be deleted", async () => {
    const { id } = await makeWholeJob(parts, { status: "running" });
    await letItCome(id);
    await parts.jobs.delete(onJob(parts, id));
    expect((await lookAt(parts, id)).row).toBeUndefined();
  });

  test("a start that is due fails the job, if it comes first", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled", dueInMs: -5_000 });
    const entry = entryIdOf(rowOf(await lookAt(parts, id)));
    await letItCome(id);
    expect(await parts.startDue([entry])).toEqual({ done: [entry], later: [], locked: [], started: [] });
    expect(rowOf(await lookAt(parts, id))).toMatchObject({
      status: "failed",
      failure_reason: "start_missed",
      started_at: null,
    });
    expect(await statusesOf(id)).toEqual(["expired", "expired", "expired"]);
    expect(await breaches(parts, [id])).toEqual({});
  });

  test("a paused job does not go on by itself", async () => {
    const { id } = await makeWholeJob(parts, { status: "running" });
    await parts.jobs.pauseUntil(onJob(parts, id), inAnHour());
    await parts.db.updateTable("batch_jobs").set({ resume_at: past() }).where("id", "=", id).execute();
    await letItCome(id);
    await runResumePass(parts);
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "paused" });
  });
});

describe("the end", () => {
  test("of a running job leaves calls in progress alone, and nothing of it on the list", async () => {
    const id = await runJob(parts, { contacts: makeContacts(4), endAt: inAnHour() });
    const leases = await lease(parts, { maxContacts: 2 });
    await endNow(id);
    expect(await lookAt(parts, id)).toMatchObject({
      row: { status: "failed", failure_reason: "no_call_completed", finished_at: expect.any(Date) },
      list: [],
      position: null,
    });
    expect(await statusesOf(id)).toEqual(["dialing", "dialing", "expired", "expired"]);
    expect(await reportAll(parts, leases.slice(0, 1), "no_answer")).toMatchObject([
      { kind: "recorded", contactStatus: "no_answer", nextAttemptAt: null },
    ]);
    expect(await jobOf(id)).toMatchObject({ status: "failed", counts: { dialing: 1, no_answer: 1 } });
    const { revision } = await jobOf(id);
    expect(await reportAll(parts, leases.slice(1), "completed")).toMatchObject([{ kind: "recorded" }]);
    expect(await jobOf(id)).toMatchObject({
      status: "completed",
      failureReason: null,
      revision: revision + 1,
      counts: { dialing: 0, completed: 1 },
    });
    expect(await statusesOf(id)).toEqual(["no_answer", "completed", "expired", "expired"]);
    expect(await breaches(parts, [id])).toEqual({});
  });

  test("of one with a completed call completes it", async () => {
    const id = await runJob(parts, { endAt: inAnHour() });
    await reportAll(parts, [await leaseOne(parts)], "completed");
    await endNow(id);
    expect(await jobOf(id)).toMatchObject({ status: "completed", failureReason: null });
    expect(await statusesOf(id)).toEqual(["completed", "expired", "expired"]);
  });

  test("comes without an attempt for a lease that is released or runs out after it", async () => {
    const id = await runJob(parts, { contacts: makeContacts(3), endAt: inAnHour() });
    const [released, notDialed, lost] = await lease(parts, { maxContacts: 3 });
    if (released === undefined || notDialed === undefined || lost === undefined) throw new Error("no leases");
    await endNow(id);
    expect(await release(parts, [released.leaseId])).toEqual([true]);
    expect(await report(parts, [{ leaseId: notDialed.leaseId, outcome: "not_dialed" }])).toMatchObject([
      { kind: "recorded", contactStatus: "expired", nextAttemptAt: null },
    ]);
    await runOut(parts, [lost]);
    expect(await statusesOf(id)).toEqual(["expired", "expired", "unknown"]);
    expect(await breaches(parts, [id])).toEqual({});
  });

  test.each([
    ["pending", "start_missed"],
    ["scheduled", "start_missed"],
    ["running", "no_call_completed"],
    ["paused", "no_call_completed"],
  ] as const)("comes for a %s job, and takes it out of Redis", async (status, reason) => {
    const { id, revision } = await makeWholeJob(parts, { status });
    const bystander = await makeWholeJob(parts, { status });
    await parts.jobs.update(onJob(parts, bystander.id), { endAt: inAnHour() });
    const before = await lookAt(parts, bystander.id);
    await endNow(id);
    expect(await lookAt(parts, id)).toMatchObject({
      row: {
        status: "failed",
        failure_reason: reason,
        revision: revision + 1,
        scheduled_job_id: null,
        finished_at: expect.any(Date),
      },
      list: [],
      position: null,
      entry: null,
    });
    expect(await statusesOf(id)).toEqual(["expired", "expired", "expired"]);
    expect(await lookAt(parts, bystander.id)).toEqual(before);
  });

  test("takes back the time at which a paused job was to go on", async () => {
    const { id } = await makeWholeJob(parts, { status: "running" });
    await parts.jobs.pauseUntil(onJob(parts, id), inAnHour());
    await endNow(id);
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "failed", resume_at: null });
  });

  test("is found by replicas once, however many look", async () => {
    const { id, revision } = await makeWholeJob(parts, { status: "running" });
    await letItCome(id);
    await Promise.all([parts, there, parts, there].map(runEndPass));
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "failed", revision: revision + 1 });
  });

  test("comes while Redis is away, and the sweep takes what is left", async () => {
    const { id } = await makeWholeJob(parts, { status: "running" });
    await letItCome(id);
    await runEndPass({ ...parts, doRedisHalves: doNothing });
    expect(await lookAt(parts, id)).toMatchObject({ row: { status: "failed" }, list: ["1", "2", "3"] });
    await eventually(async () => {
      await parts.sweep.pass();
      expect((await lookAt(parts, id)).list).toEqual([]);
    });
  });

  test("of a job that somebody has locked is tried again soon, and holds up no other", async () => {
    const [held, other] = [
      await makeWholeJob(parts, { status: "running" }),
      await makeWholeJob(parts, { status: "running" }),
    ];
    for (const { id } of [held, other]) await letItCome(id);
    await parts.db.transaction().execute(async (trx) => {
      await trx.selectFrom("batch_jobs").select("id").where("id", "=", held.id).forNoKeyUpdate().execute();
      expect(await runEndPass(parts)).toBeLessThanOrEqual(50);
      expect(rowOf(await lookAt(parts, other.id)).status).toBe("failed");
      expect(rowOf(await lookAt(parts, held.id)).status).toBe("running");
    });
    await runEndPass(parts);
    expect(rowOf(await lookAt(parts, held.id)).status).toBe("failed");
  });

  test("that was moved while a replica had the job in hand does not come", async () => {
    const { id, organization_id: organizationId } = await makeWholeJob(parts, { status: "running" });
    await letItCome(id);
    expect(await dueEnds(parts.db, 10)).toContainEqual({ id, organizationId });
    const end_at = inAnHour();
    await parts.db.updateTable("batch_jobs").set({ end_at }).where("id", "=", id).execute();
    expect(await endDueJobs(parts.db, organizationId, [id])).toEqual([]);
    expect(rowOf(await lookAt(parts, id)).status).toBe("running");
  });

  test("of a job that is final changes nothing", async () => {
    for (const status of ["completed", "failed", "cancelled"] as const satisfies JobStatus[]) {
      const { id, organization_id: organizationId } = await makeWholeJob(parts, { status });
      await letItCome(id);
      const before = await lookAt(parts, id);
      await runEndPass(parts);
      // Another replica has found it before.
      expect(await endDueJobs(parts.db, organizationId, [id])).toEqual([]);
      expect(await lookAt(parts, id)).toEqual(before);
    }
  });

  test("is told by a pass, if it is soon", async () => {
    const endAt = new Date(parts.clock.now() + 400);
    await parts.jobs.create(onJob(parts, ""), aNewJob({ endAt }));
    expect(await runEndPass(parts)).toBeLessThanOrEqual(400);
    await eventually(async () => {
      await runEndPass(parts);
      expect(await dueEnds(parts.db, 10)).toEqual([]);
    });
  });

  test("is before which a call under a lease of the job must begin", async () => {
    const endAt = inAnHour();
    await runJob(parts, { endAt });
    expect((await leaseOne(parts)).callBefore).toEqual(endAt);
  });

  test("that comes sooner than a lease has said is told to whoever asks again, and to a repeat", async () => {
    const endAt = inAnHour();
    const later = new Date(endAt.getTime() + 3_600_000);
    const withoutEnd = await runJob(parts, { contacts: makeContacts(1) });
    const withLater = await runJob(parts, { contacts: makeContacts(1), endAt: later });
    const asked = { requestId: "request-1", maxContacts: 2 };
    const leases = await lease(parts, asked);
    expect(new Map(leases.map(({ jobId, callBefore }) => [jobId, callBefore]))).toEqual(
      new Map([
        [withoutEnd, null],
        [withLater, later],
      ]),
    );
    const check = () =>
      parts.leasing.check(
        parts.caller,
        leases.map(({ leaseId }) => leaseId),
      );
    for (const id of [withoutEnd, withLater]) await parts.jobs.update(onJob(parts, id), { endAt });
    expect((await check()).map((checked) => checked?.callBefore)).toEqual([endAt, endAt]);
    expect((await lease(parts, asked)).map(({ callBefore }) => callBefore)).toEqual([endAt, endAt]);
  });
});

describe("an end is refused", () => {
  test("that is not ahead", async () => {
    const refused = { reason: "past_scheduled_time", metadata: { field: "end_at" } };
    const create = parts.jobs.create(onJob(parts, ""), aNewJob({ endAt: past() }));
    expect(await refusal(create)).toMatchObject(refused);
    const { id } = await makeWholeJob(parts, { status: "running" });
    expect(await refusal(parts.jobs.update(onJob(parts, id), { endAt: past() }))).toMatchObject(refused);
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ end_at: null, revision: 1 });
  });

  test("that is not after the start, and so is a start that is not before the end", async () => {
    const refused = { reason: "invalid_argument", metadata: { field: "end_at" } };
    const requestedStartTime = tomorrow().toISOString();
    const created = parts.jobs.create(onJob(parts, ""), aNewJob({ requestedStartTime, endAt: inAnHour() }));
    expect(await refusal(created)).toMatchObject(refused);
    const { id } = await makeWholeJob(parts, { status: "scheduled", dueInMs: 86_400_000 });
    expect(await refusal(parts.jobs.update(onJob(parts, id), { endAt: inAnHour() }))).toMatchObject(refused);
    const ending = await makeWholeJob(parts, { status: "scheduled" });
    await parts.jobs.update(onJob(parts, ending.id), { endAt: new Date(Date.now() + 2 * 3_600_000) });
    const moved = parts.jobs.reschedule(onJob(parts, ending.id), { requestedStartTime, timeZone: "" });
    expect(await refusal(moved)).toMatchObject({
      reason: "invalid_argument",
      metadata: { field: "scheduled_start_time" },
    });
  });

  test("no more once the job has started", async () => {
    const { id } = await makeWholeJob(parts, { status: "scheduled", dueInMs: 86_400_000 });
    await parts.jobs.start(onJob(parts, id));
    const endAt = inAnHour();
    await parts.jobs.update(onJob(parts, id), { endAt });
    expect(await jobOf(id)).toMatchObject({ endAt });
  });
});

test("an end that is taken back does not come", async () => {
  const id = await runJob(parts, { endAt: inAnHour() });
  await parts.jobs.update(onJob(parts, id), { endAt: null });
  await runEndPass(parts);
  expect(await jobOf(id)).toMatchObject({ status: "running", endAt: null });
});

test("contacts of a job that has ended are counted, listed and exported as expired", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "A job",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(3),
  });
  await client.startBatchJob({ batchJobId });
  const endAt = timestampFromMs(Date.now() + 1_500);
  const { batchJob: updated } = await client.updateBatchJob({ batchJobId, endAt });
  expect(updated?.endAt).toEqual(endAt);
  await eventually(async () => {
    const { batchJob } = await client.getBatchJob({ batchJobId });
    expect(batchJob).toMatchObject({
      status: BatchJobStatus.FAILED,
      failureReason: "no_call_completed",
      counts: { total: 3, pending: 0, waitingRetry: 0, cancelled: 0, expired: 3 },
      holds: [],
    });
    expect(Number(batchJob?.finishedAt?.seconds)).toBeGreaterThanOrEqual(Number(endAt.seconds));
  }, 20_000);
  const { contacts } = await client.listContacts({ batchJobId, statuses: [ContactStatus.EXPIRED] });
  expect(contacts.map(({ number, status }) => ({ number, status }))).toEqual(
    [1, 2, 3].map((number) => ({ number, status: ContactStatus.EXPIRED })),
  );
  expect((await client.listContacts({ batchJobId, statuses: [ContactStatus.PENDING] })).contacts).toEqual([]);
  const { contact } = await client.getContact({ batchJobId, number: 1 });
  expect(contact).toMatchObject({ status: ContactStatus.EXPIRED, attempts: 0 });
  const path = `${service.httpUrl}/batch/jobs/${batchJobId}?contactStatus=failed`;
  const detail = await fetch(path, { headers: { authorization: `Bearer ${service.apiKey}` } });
  expect(await detail.json()).toMatchObject({
    status: "failed",
    contactsProcessed: 3,
    failedCalls: 3,
    statusBreakdown: { failed: 3 },
    contactsTotal: 3,
    contacts: [1, 2, 3].map(() => ({ status: "failed", failureReason: "expired", attemptCount: 0 })),
  });
  let file = "";
  const statuses = [ContactStatus.EXPIRED];
  for await (const { csv } of client.exportContacts({ batchJobId, statuses })) file += Buffer.from(csv);
  expect(file.trim().split("\n").slice(1)).toEqual([1, 2, 3].map(() => expect.stringContaining("expired")));
});
