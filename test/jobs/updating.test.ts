import { describe, expect, test } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import { lockJob } from "../../src/postgres/jobs/batch-jobs.ts";
import { telling } from "../../src/postgres/events/events.ts";
import { haveRetriesJudged, judgeRetries } from "../../src/postgres/leasing/retries.ts";
import { lease, makeRetriesDue, release, reportAll, runJob } from "../leasing/leases.ts";
import { aRequestId } from "../support/commands.ts";
import { lookAt, repairs } from "../support/look.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";
import { rowOf } from "../support/rows.ts";

/* Settings change while a job runs. One replica takes the command, another one has the leases. */

let parts: Parts;
let other: Parts;
onTwoReplicasInNewOrganizations((here, there) => {
  parts = here;
  other = there;
});

/** A running job of which so many contacts have been called, and wait for a second attempt that is due. */
async function jobInRetries(waiting: number, fields: Partial<NewJob> = {}): Promise<string> {
  const jobId = await runJob(parts, {
    contacts: makeContacts(waiting),
    concurrentCallLimit: 100,
    retryOn: ["busy", "no_answer"],
    ...fields,
  });
  const leases = await lease(other, { maxContacts: waiting });
  expect(leases).toHaveLength(waiting);
  await reportAll(other, leases, "busy");
  await makeRetriesDue(parts, jobId);
  return jobId;
}

const update = (id: string, changes: Parameters<Parts["jobs"]["update"]>[1]) =>
  parts.jobs.update(onJob(parts, id), changes);

describe("a lowered limit", () => {
  test("takes no lease away, and lets none be given until fewer are live", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(6), concurrentCallLimit: 4 });
    const leases = await lease(other, { maxContacts: 4 });
    await update(jobId, { concurrentCallLimit: 2 });
    expect(await lease(other, { maxContacts: 4 })).toEqual([]);
    await reportAll(other, leases.slice(0, 2), "completed");
    expect(await lease(other, { maxContacts: 4 })).toEqual([]);
    await reportAll(other, leases.slice(2, 3), "completed");
    expect(await lease(other, { maxContacts: 4 })).toHaveLength(1);
  });
});

describe("fewer attempts", () => {
  test("hold for a call that goes on: it is the last one", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1), maxAttempts: 3 });
    const leases = await lease(other);
    await update(jobId, { maxAttempts: 1 });
    expect(await reportAll(other, leases, "busy")).toMatchObject([
      { kind: "recorded", contactStatus: "busy", nextAttemptAt: null },
    ]);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "failed",
      failureReason: "no_call_completed",
    });
  });

  test("are told with the next lease", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2) });
    expect(await lease(other)).toMatchObject([{ maxAttempts: 3 }]);
    await update(jobId, { maxAttempts: 2 });
    expect(await lease(other)).toMatchObject([{ maxAttempts: 2 }]);
  });

  test("end at once the retries that are more, and the job with the last contact", async () => {
    const jobId = await jobInRetries(3);
    const { job } = await update(jobId, { maxAttempts: 1 });
    expect(job).toMatchObject({ status: "failed", counts: { busy: 3, waiting_retry: 0 }, revision: 4 });
    expect(await lease(other)).toEqual([]);
    expect(await lookAt(parts, jobId)).toMatchObject({ list: [], position: null });
  });

  test("leave the retries alone that are no more than that", async () => {
    const jobId = await jobInRetries(3);
    const { job } = await update(jobId, { maxAttempts: 2 });
    expect(job).toMatchObject({ status: "running", counts: { waiting_retry: 3 } });
    expect(await lease(other, { maxContacts: 3 })).toHaveLength(3);
  });
});

describe("fewer outcomes that are tried again", () => {
  test("end the retries of the others, while the job is paused too", async () => {
    const jobId = await jobInRetries(2);
    await parts.jobs.pause(onJob(parts, jobId));
    const { job } = await update(jobId, { retryOn: ["no_answer"] });
    expect(job).toMatchObject({ status: "paused", counts: { busy: 2, waiting_retry: 0 } });
    expect(await parts.jobs.resume(onJob(parts, jobId))).toMatchObject({ status: "failed" });
  });

  test("hold before the retries are ended, which are more than one transaction judges", async () => {
    const jobId = await jobInRetries(5);
    await parts.db
      .updateTable("batch_jobs")
      .set({ retry_on: ["no_answer"] })
      .where("id", "=", jobId)
      .execute();
    expect(await lease(other, { maxContacts: 5 })).toEqual([]);
    const { organizationId } = parts.caller;
    const by = { actor: "service", requestId: "" } as const;
    const judged = await parts.db.transaction().execute((trx) =>
      telling(trx, organizationId, async (tell) => {
        await haveRetriesJudged(trx, organizationId, [jobId]);
        return await judgeRetries(trx, await lockJob(trx, organizationId, jobId), by, tell, 2);
      }),
    );
    expect(judged).toMatchObject({ isMore: true, job: { counts: { busy: 2, waiting_retry: 3 } } });
    await other.sweep.pass();
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "failed",
      counts: { busy: 5 },
    });
    expect(rowOf(await lookAt(parts, jobId)).retries_judged_to).toBeNull();
    expect(await repairs(other)).toEqual({});
  });

  test("hold for a second attempt that is given back: it is not made again", async () => {
    const jobId = await jobInRetries(1);
    const leases = await lease(other);
    await update(jobId, { retryOn: ["no_answer"] });
    expect(
      await release(
        other,
        leases.map(({ leaseId }) => leaseId),
      ),
    ).toEqual([true]);
    expect(await lease(other)).toEqual([]);
    await other.sweep.pass();
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "failed",
      counts: { busy: 1 },
    });
  });
});

describe("more than before", () => {
  test("attempts are made by those who wait, and by nobody who is final", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2), maxAttempts: 1, retryOn: ["busy"] });
    await reportAll(other, await lease(other), "busy");
    await update(jobId, { maxAttempts: 2 });
    await reportAll(other, await lease(other), "busy");
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "running",
      counts: { busy: 1, waiting_retry: 1 },
    });
  });

  test("delays hold for what ends from then on", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1), retryDelaysMs: [1_000] });
    const leases = await lease(other);
    await update(jobId, { retryDelaysMs: [3_600_000] });
    await reportAll(other, leases, "busy");
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact.nextAttemptAt?.getTime()).toBe((attempts[0]?.endedAt?.getTime() ?? 0) + 3_600_000);
  });
});

test("the same request again changes nothing, and is answered with the job as it is then", async () => {
  const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob());
  const request = onJob(parts, batchJobId, aRequestId());
  expect(await parts.jobs.update(request, { name: "A" })).toMatchObject({ job: { name: "A", revision: 2 } });
  await update(batchJobId, { name: "B" });
  expect(await other.jobs.update(request, { name: "A" })).toMatchObject({ job: { name: "B", revision: 3 } });
});

test("an update at another revision than is expected is refused", async () => {
  const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob());
  const request = onJob(parts, batchJobId, { expectedRevision: 2 });
  expect(await refusal(parts.jobs.update(request, { name: "A" }))).toMatchObject({
    reason: "revision_mismatch",
  });
});

test("what is recorded says which settings were changed, and repeats nothing that people wrote", async () => {
  const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob());
  await update(batchJobId, { name: "For Ada", description: "Lovelace", maxAttempts: 5 });
  const { data } = await parts.db
    .selectFrom("events")
    .select("data")
    .where("batch_job_id", "=", batchJobId)
    .where("type", "=", "batch_job.updated")
    .executeTakeFirstOrThrow();
  expect(data).toEqual({
    changed: ["name", "description", "maxAttempts"],
    before: { maxAttempts: 3 },
    after: { maxAttempts: 5 },
  });
});
