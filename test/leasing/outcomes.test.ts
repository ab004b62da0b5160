import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Outcome, outcomes } from "../../src/domain/contacts/contact.ts";
import { readLeaseId, writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { makeContacts } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization, inNewOrganizations } from "../support/replicas.ts";
import { lease, leaseOne, makeRetriesDue, release, report, reportAll, runJob, runOut } from "./leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const one = makeContacts(1);
const two = makeContacts(2);

describe.each(outcomes)("the outcome %s", (outcome) => {
  test("is the contact's final status where the job does not retry it", async () => {
    const retryOn = outcomes.filter((other) => other !== outcome);
    const jobId = await runJob(parts, { contacts: two, retryOn });
    const { leaseId } = await leaseOne(parts);
    const recorded = { kind: "recorded", outcome, contactStatus: outcome, nextAttemptAt: null };
    expect(await report(parts, [{ leaseId, outcome }])).toEqual([recorded]);
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: outcome, lastOutcome: outcome, nextAttemptAt: null });
    expect(attempts).toMatchObject([{ attempt: 1, outcome, endedAt: attempts[0]?.reportedAt }]);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "running",
      counts: { pending: 1, dialing: 0, [outcome]: 1 },
    });
  });

  test("is tried again where the job retries it, when the delay is over", async () => {
    const jobId = await runJob(parts, { contacts: one, retryOn: [outcome], retryDelaysMs: [60_000] });
    const { leaseId } = await leaseOne(parts);
    const [result] = await report(parts, [{ leaseId, outcome }]);
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    const nextAttemptAt = new Date((attempts[0]?.endedAt?.getTime() ?? 0) + 60_000);
    expect(result).toEqual({ kind: "recorded", outcome, contactStatus: "waiting_retry", nextAttemptAt });
    expect(contact).toMatchObject({
      status: "waiting_retry",
      lastOutcome: outcome,
      nextAttemptAt,
    });
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "running",
      counts: { waiting_retry: 1, dialing: 0 },
    });
    expect(await lease(parts)).toEqual([]);
    await makeRetriesDue(parts, jobId);
    expect(await lease(parts)).toMatchObject([{ jobId, number: 1, attempt: 2 }]);
  });
});

/** Leases and reports one outcome after the other; answers the delays that were told. */
async function callAgainAndAgain(jobId: string, reported: readonly Outcome[]): Promise<(number | null)[]> {
  const delays = [];
  for (const outcome of reported) {
    const leases = await lease(parts);
    expect(leases).toHaveLength(1);
    const [result] = await reportAll(parts, leases, outcome);
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    const next = result?.kind === "recorded" ? result.nextAttemptAt : null;
    delays.push(next && next.getTime() - (attempts.at(-1)?.endedAt?.getTime() ?? 0));
    await makeRetriesDue(parts, jobId);
  }
  return delays;
}

describe("retries", () => {
  test("wait for the delays in turn, the last of which repeats, until the attempts are used up", async () => {
    const fields = { contacts: one, maxAttempts: 5, retryDelaysMs: [60_000, 120_000, 600_000] };
    const jobId = await runJob(parts, fields);
    const busy: Outcome[] = ["busy", "busy", "busy", "busy", "busy"];
    expect(await callAgainAndAgain(jobId, busy)).toEqual([60_000, 120_000, 600_000, 600_000, null]);
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: "busy", attempts: 5 });
    expect(attempts.map(({ attempt, outcome }) => [attempt, outcome])).toEqual(
      busy.map((outcome, i) => [i + 1, outcome]),
    );
  });

  test("count attempts of all outcomes together, and end with the last outcome", async () => {
    const jobId = await runJob(parts, { contacts: one, maxAttempts: 3, retryDelaysMs: [0] });
    expect(await callAgainAndAgain(jobId, ["busy", "no_answer", "timeout"])).toEqual([0, 0, null]);
    const { contact } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: "timeout", attempts: 3, lastOutcome: "timeout" });
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "failed",
      counts: { timeout: 1, busy: 0 },
    });
  });

  test("end early with an outcome that is not retried", async () => {
    const jobId = await runJob(parts, { contacts: one, maxAttempts: 10, retryDelaysMs: [0] });
    await callAgainAndAgain(jobId, ["busy", "voicemail"]);
    const { contact } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: "voicemail", attempts: 2 });
  });

  test("do not happen in a job of one attempt", async () => {
    const jobId = await runJob(parts, { contacts: one, maxAttempts: 1 });
    expect(await callAgainAndAgain(jobId, ["busy"])).toEqual([null]);
    expect((await parts.jobs.get(parts.caller, jobId)).status).toBe("failed");
  });

  test("that are due come before contacts that were never called", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(5) });
    await reportAll(parts, await lease(parts, { maxContacts: 2 }), "busy");
    expect(await lease(parts)).toMatchObject([{ number: 3, attempt: 1 }]);
    await makeRetriesDue(parts, jobId);
    const given = await lease(parts, { maxContacts: 3 });
    expect(given.map(({ number, attempt }) => [number, attempt]).toSorted()).toEqual([
      [1, 2],
      [2, 2],
      [4, 1],
    ]);
  });
});

describe("a report", () => {
  test("keeps what the worker tells of the call in the contact's history", async () => {
    const jobId = await runJob(parts, { contacts: two });
    const { leaseId } = await leaseOne(parts, { workerId: "worker-9" });
    const details = {
      errorCode: "SIP_486",
      failureReason: "busy here",
      callDurationMs: 12_345,
      providerCallId: "call-1",
    };
    await report(parts, [{ leaseId, outcome: "busy", details }]);
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(attempts).toEqual([
      {
        nonce: readLeaseId(leaseId).nonce,
        jobId,
        number: 1,
        attempt: 1,
        workerId: "worker-9",
        leasedAt: expect.any(Date),
        expiresAt: expect.any(Date),
        endedAt: expect.any(Date),
        reportedAt: attempts[0]?.endedAt,
        outcome: "busy",
        errorCode: "SIP_486",
        failureReason: "busy here",
        callDurationMs: 12_345,
        providerCallId: "call-1",
      },
    ]);
  });

  test("that comes again is answered with what was recorded first, whatever it says", async () => {
    const jobId = await runJob(parts, { contacts: two });
    const { leaseId } = await leaseOne(parts);
    const [first] = await report(parts, [{ leaseId, outcome: "busy" }]);
    const history = await parts.jobs.getContact(parts.caller, jobId, 1);
    const again = await report(parts, [{ leaseId, outcome: "completed" }]);
    expect(again).toEqual([{ ...first, kind: "already_recorded" }]);
    expect(await parts.jobs.getContact(parts.caller, jobId, 1)).toEqual(history);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      counts: { waiting_retry: 1, completed: 0 },
    });
  });

  test("that stands in one request twice is recorded once, as the first says", async () => {
    await runJob(parts, { contacts: two });
    const { leaseId } = await leaseOne(parts);
    const twice = await report(parts, [
      { leaseId, outcome: "voicemail" },
      { leaseId, outcome: "completed" },
    ]);
    expect(twice).toMatchObject([
      { kind: "recorded", outcome: "voicemail" },
      { kind: "already_recorded", outcome: "voicemail" },
    ]);
  });

  test("that two replicas get at once is recorded by one of them", async () => {
    await using other = await startParts({ beside: parts });
    const jobId = await runJob(parts, { contacts: makeContacts(100), concurrentCallLimit: 100 });
    const leases = await lease(parts, { maxContacts: 100 });
    const pairs = await Promise.all(
      leases.map(({ leaseId }) =>
        Promise.all([
          report(parts, [{ leaseId, outcome: "completed" }]),
          report({ ...other, caller: parts.caller }, [{ leaseId, outcome: "busy" }]),
        ]),
      ),
    );
    const told = pairs.map((pair) =>
      pair
        .flat()
        .map(({ kind }) => kind)
        .toSorted(),
    );
    expect(told).toEqual(leases.map(() => ["already_recorded", "recorded"]));
    const wins = pairs.filter(([[first]]) => first?.kind === "recorded").length;
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      counts: { completed: wins, waiting_retry: 100 - wins, dialing: 0 },
    });
  });

  test("with another attempt in its id than the lease's changes nothing, live or late", async () => {
    const jobId = await runJob(parts, { contacts: one, maxAttempts: 2, retryDelaysMs: [0] });
    await callAgainAndAgain(jobId, ["busy"]);
    const second = await leaseOne(parts);
    const forged = writeLeaseId({ ...readLeaseId(second.leaseId), attempt: 1 });
    const before = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(await report(parts, [{ leaseId: forged, outcome: "busy" }])).toEqual([{ kind: "gone" }]);
    expect(await release(parts, [forged])).toEqual([false]);
    expect(await parts.leasing.extend(parts.caller, [forged], 600_000)).toEqual([undefined]);
    expect(await parts.jobs.getContact(parts.caller, jobId, 1)).toEqual(before);
    // Nor does it keep the right id, in the same request, from being what it is.
    expect(
      await report(parts, [
        { leaseId: forged, outcome: "completed" },
        { leaseId: second.leaseId, outcome: "busy" },
      ]),
    ).toMatchObject([{ kind: "gone" }, { kind: "recorded", contactStatus: "busy" }]);
    expect(await lease(parts)).toEqual([]);

    const lateJobId = await runJob(parts, { contacts: one });
    const late = await leaseOne(parts);
    await runOut(parts, [late]);
    const forgedLate = writeLeaseId({ ...readLeaseId(late.leaseId), attempt: 2 });
    expect(await report(parts, [{ leaseId: forgedLate, outcome: "completed" }])).toEqual([{ kind: "gone" }]);
    expect(await parts.jobs.get(parts.caller, lateJobId)).toMatchObject({ counts: { unknown: 1 } });
  });

  test("of a lease that is unknown, malformed, or another organization's, changes nothing", async () => {
    const stranger = await forNewOrganization(parts);
    const jobId = await runJob(parts, { contacts: two });
    const { leaseId } = await leaseOne(parts);
    const before = await parts.jobs.getContact(parts.caller, jobId, 1);
    const gone = { kind: "gone" };
    expect(await report(stranger, [{ leaseId, outcome: "completed" }])).toEqual([gone]);
    expect(await release(stranger, [leaseId])).toEqual([false]);
    expect(await parts.leasing.extend(stranger.caller, [leaseId], 600_000)).toEqual([undefined]);
    const odd = [randomUUID(), "", "no id", `${leaseId} `, "x".repeat(1_000)];
    expect(
      await report(
        parts,
        odd.map((id) => ({ leaseId: id, outcome: "completed" })),
      ),
    ).toEqual(odd.map(() => gone));
    expect(await release(parts, odd)).toEqual(odd.map(() => false));
    expect(await parts.leasing.extend(parts.caller, odd, 600_000)).toEqual(odd.map(() => undefined));
    expect(await parts.jobs.getContact(parts.caller, jobId, 1)).toEqual(before);
  });

  test("of leases of several jobs, known and unknown, answers each in its place", async () => {
    const jobIds = [await runJob(parts, { contacts: one }), await runJob(parts, { contacts: one })];
    const leases = await lease(parts, { maxContacts: 2 });
    const [first = "", second = ""] = leases.map(({ leaseId }) => leaseId);
    expect(
      await report(parts, [
        { leaseId: first, outcome: "completed" },
        { leaseId: randomUUID(), outcome: "completed" },
        { leaseId: second, outcome: "failed" },
      ]),
    ).toMatchObject([{ contactStatus: "completed" }, { kind: "gone" }, { contactStatus: "failed" }]);
    const statuses = await Promise.all(jobIds.map((id) => parts.jobs.get(parts.caller, id)));
    expect(statuses.map(({ status }) => status).toSorted()).toEqual(["completed", "failed"]);
  });
});
