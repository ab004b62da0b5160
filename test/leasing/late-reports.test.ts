import { describe, expect, test } from "vitest";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import {
  lease,
  leaseOne,
  letRunOut,
  makeRetriesDue,
  release,
  report,
  reportAll,
  runJob,
  runOut,
} from "./leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const two = makeContacts(2);

const contactOf = async (jobId: string) => (await parts.jobs.getContact(parts.caller, jobId, 1)).contact;
const jobOf = (jobId: string) => parts.jobs.get(parts.caller, jobId);

describe("a lease that ran out", () => {
  test("ends its attempt as unknown, which is final, and frees its slot", async () => {
    const jobId = await runJob(parts, { contacts: two, concurrentCallLimit: 1 });
    const leases = await lease(parts);
    expect(await lease(parts)).toEqual([]);
    await runOut(parts, leases);
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: "unknown", lastOutcome: "unknown", nextAttemptAt: null });
    expect(attempts).toMatchObject([{ outcome: "unknown", endedAt: expect.any(Date), reportedAt: null }]);
    expect(await jobOf(jobId)).toMatchObject({ status: "running", counts: { unknown: 1, dialing: 0 } });
    expect(await lease(parts)).toMatchObject([{ number: 2 }]);
  });

  test("is tried again where the job retries what is unknown", async () => {
    const jobId = await runJob(parts, { contacts: two, retryOn: ["unknown"], retryDelaysMs: [60_000] });
    await runOut(parts, [await leaseOne(parts)]);
    expect(await contactOf(jobId)).toMatchObject({ status: "waiting_retry", lastOutcome: "unknown" });
    await makeRetriesDue(parts, jobId);
    expect(await lease(parts)).toMatchObject([{ number: 1, attempt: 2 }]);
  });

  test("can be reported as long as the service has not ended it", async () => {
    const jobId = await runJob(parts, { contacts: two });
    const given = await leaseOne(parts);
    await letRunOut(parts, [given.leaseId]);
    expect(await reportAll(parts, [given], "completed")).toMatchObject([{ kind: "recorded" }]);
    expect(await contactOf(jobId)).toMatchObject({ status: "completed" });
  });

  test("is ended once, however many replicas look for it", async () => {
    await using other = await startParts({ beside: parts });
    const jobId = await runJob(parts, { contacts: makeContacts(20), concurrentCallLimit: 100 });
    const leases = await lease(parts, { maxContacts: 20 });
    await Promise.all([runOut(parts, leases), runOut({ ...other, caller: parts.caller }, leases)]);
    expect(await jobOf(jobId)).toMatchObject({
      status: "failed",
      counts: { unknown: 20, dialing: 0 },
      revision: 3,
    });
  });
});

describe("a late report", () => {
  test("turns unknown into what happened, and the counts follow", async () => {
    const jobId = await runJob(parts, { contacts: two });
    const given = await leaseOne(parts);
    await runOut(parts, [given]);
    const endedAt = (await parts.jobs.getContact(parts.caller, jobId, 1)).attempts[0]?.endedAt;
    expect(await reportAll(parts, [given], "completed")).toEqual([
      { kind: "recorded", outcome: "completed", contactStatus: "completed", nextAttemptAt: null },
    ]);
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: "completed", lastOutcome: "completed" });
    expect(attempts).toMatchObject([{ outcome: "completed", endedAt, reportedAt: expect.any(Date) }]);
    expect(await jobOf(jobId)).toMatchObject({ counts: { unknown: 0, completed: 1 } });
    expect(await reportAll(parts, [given], "busy")).toMatchObject([
      { kind: "already_recorded", outcome: "completed" },
    ]);
  });

  test("turns unknown into a retry where the job retries what happened", async () => {
    const jobId = await runJob(parts, { contacts: two });
    const given = await leaseOne(parts);
    await runOut(parts, [given]);
    expect(await reportAll(parts, [given], "busy")).toMatchObject([{ contactStatus: "waiting_retry" }]);
    expect(await jobOf(jobId)).toMatchObject({ counts: { unknown: 0, waiting_retry: 1 } });
    await makeRetriesDue(parts, jobId);
    expect(await lease(parts)).toMatchObject([{ number: 1, attempt: 2 }]);
  });

  test("ends a retry that waits, if what happened is final", async () => {
    const jobId = await runJob(parts, { contacts: two, retryOn: ["unknown"] });
    const given = await leaseOne(parts);
    await runOut(parts, [given]);
    expect(await contactOf(jobId)).toMatchObject({ status: "waiting_retry" });
    expect(await reportAll(parts, [given], "completed")).toMatchObject([{ contactStatus: "completed" }]);
    expect(await contactOf(jobId)).toMatchObject({ status: "completed", nextAttemptAt: null });
    expect(await jobOf(jobId)).toMatchObject({ counts: { waiting_retry: 0, completed: 1 } });
    await makeRetriesDue(parts, jobId);
    expect(await lease(parts, { maxContacts: 10 })).toMatchObject([{ number: 2 }]);
  });

  test("is refused once another attempt was opened, and counts again if that one is released", async () => {
    const jobId = await runJob(parts, { contacts: two, retryOn: ["unknown"] });
    const first = await leaseOne(parts);
    await runOut(parts, [first]);
    await makeRetriesDue(parts, jobId);
    const second = await leaseOne(parts);
    expect(second).toMatchObject({ number: 1, attempt: 2 });
    const before = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(await reportAll(parts, [first], "completed")).toEqual([{ kind: "gone" }]);
    expect(await parts.jobs.getContact(parts.caller, jobId, 1)).toEqual(before);
    await release(parts, [second.leaseId]);
    expect(await reportAll(parts, [first], "completed")).toMatchObject([{ kind: "recorded" }]);
    expect(await contactOf(jobId)).toMatchObject({ status: "completed", attempts: 1 });
  });

  test("counts if the attempt after it is released", async () => {
    const jobId = await runJob(parts, { contacts: two, retryOn: ["unknown"] });
    const first = await leaseOne(parts);
    await runOut(parts, [first]);
    await makeRetriesDue(parts, jobId);
    const second = await leaseOne(parts);
    expect(await release(parts, [second.leaseId])).toEqual([true]);
    expect(await reportAll(parts, [first], "completed")).toMatchObject([{ kind: "recorded" }]);
    expect(await contactOf(jobId)).toMatchObject({ status: "completed", attempts: 1, nextAttemptAt: null });
    expect(await jobOf(jobId)).toMatchObject({ counts: { completed: 1, dialing: 0 } });
  });

  test("of a completed call completes a job that failed for want of one, once", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const [first, second, third] = await lease(parts, { maxContacts: 3 });
    const of = (given: typeof first) => (given === undefined ? [] : [given]);
    await runOut(parts, [...of(first), ...of(second), ...of(third)]);
    const ended = await jobOf(jobId);
    expect(ended).toMatchObject({ status: "failed", failureReason: "no_call_completed" });
    await reportAll(parts, of(first), "voicemail");
    expect(await jobOf(jobId)).toEqual({ ...ended, counts: { ...ended.counts, unknown: 2, voicemail: 1 } });
    await reportAll(parts, of(second), "completed");
    const completed = await jobOf(jobId);
    expect(completed).toEqual({
      ...ended,
      status: "completed",
      failureReason: null,
      revision: ended.revision + 1,
      updatedAt: expect.any(Date),
      counts: { ...ended.counts, unknown: 1, voicemail: 1, completed: 1 },
    });
    await reportAll(parts, of(third), "completed");
    expect(await jobOf(jobId)).toEqual({
      ...completed,
      counts: { ...completed.counts, unknown: 0, completed: 2 },
    });
  });

  test("of a completed call leaves a cancelled job as it is", async () => {
    const jobId = await runJob(parts, { contacts: two });
    const given = await leaseOne(parts);
    await parts.jobs.cancel(onJob(parts, jobId));
    await runOut(parts, [given]);
    const ended = await jobOf(jobId);
    await reportAll(parts, [given], "completed");
    expect(await jobOf(jobId)).toEqual({ ...ended, counts: { ...ended.counts, unknown: 0, completed: 1 } });
  });

  test.each([
    ["completed", "voicemail"],
    ["failed", "busy"],
  ] as const)("leaves a job %s that has ended so", async (status, outcome) => {
    const jobId = await runJob(parts, { contacts: two });
    const [first, second] = await lease(parts, { maxContacts: 2 });
    await runOut(parts, first === undefined ? [] : [first]);
    const other = status === "completed" ? "completed" : "invalid_number";
    await reportAll(parts, second === undefined ? [] : [second], other);
    const ended = await jobOf(jobId);
    expect(ended.status).toBe(status);
    expect(await report(parts, [{ leaseId: first?.leaseId ?? "", outcome }])).toMatchObject([
      { kind: "recorded", contactStatus: outcome },
    ]);
    expect(await jobOf(jobId)).toEqual({
      ...ended,
      counts: { ...ended.counts, unknown: 0, [outcome]: ended.counts[outcome] + 1 },
    });
  });

  test("of what the job would retry is final once the job has ended", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    await runOut(parts, [given]);
    expect((await jobOf(jobId)).status).toBe("failed");
    expect(await reportAll(parts, [given], "busy")).toMatchObject([{ contactStatus: "busy" }]);
    expect(await jobOf(jobId)).toMatchObject({
      status: "failed",
      counts: { busy: 1, waiting_retry: 0 },
    });
  });

  test("of a job that was deleted finds nothing", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    await runOut(parts, [given]);
    await parts.jobs.delete(onJob(parts, jobId));
    expect(await reportAll(parts, [given], "completed")).toEqual([{ kind: "gone" }]);
  });
});
