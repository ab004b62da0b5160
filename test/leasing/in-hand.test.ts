import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { allKeys } from "../support/everything.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";
import { lease, leaseOne, makeRetriesDue, release, reportAll, runJob, runOut } from "./leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const jobOf = (jobId: string) => parts.jobs.get(parts.caller, jobId);
const keysOf = async (jobId: string): Promise<string[]> =>
  Object.keys(await allKeys(parts)).filter((name) => name.includes(jobId));

/** Asks for contacts until the signal aborts; answers what was given, and when it had been asked for. */
async function askOn(jobId: string, signal: AbortSignal) {
  const given: { askedAt: number; number: number }[] = [];
  while (!signal.aborted) {
    const askedAt = performance.now();
    const leases = await lease(parts, { maxContacts: 2, jobIds: [jobId] });
    given.push(...leases.map(({ number }) => ({ askedAt, number })));
  }
  return given;
}

test.each(["pause", "cancel"] as const)("no lease is given after %s was answered", async (command) => {
  for (let trial = 0; trial < 5; trial += 1) {
    const jobId = await runJob(parts, { contacts: makeContacts(200), concurrentCallLimit: 1_000 });
    await parts.db
      .updateTable("organizations")
      .set({ lease_limit: 10_000 })
      .where("id", "=", parts.caller.organizationId)
      .execute();
    const stop = new AbortController();
    const asking = [1, 2, 3].map(() => askOn(jobId, stop.signal));
    await eventually(async () => expect((await jobOf(jobId)).counts.dialing).toBeGreaterThan(0));
    await parts.jobs[command](onJob(parts, jobId));
    const answeredAt = performance.now();
    const { dialing } = (await jobOf(jobId)).counts;
    for (let asked = 0; asked < 5; asked += 1) expect(await lease(parts, { maxContacts: 2 })).toEqual([]);
    stop.abort();
    const given = (await Promise.all(asking)).flat();
    expect(given.filter(({ askedAt }) => askedAt > answeredAt)).toEqual([]);
    expect(given).toHaveLength(dialing);
    expect((await jobOf(jobId)).counts.dialing).toBe(dialing);
  }
});

describe("a pause", () => {
  test("leaves the calls in progress alone, and their outcomes are recorded", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(5), retryDelaysMs: [0] });
    const [first, second, third] = await lease(parts, { maxContacts: 3 });
    await parts.jobs.pause(onJob(parts, jobId));
    const of = (given: typeof first) => (given === undefined ? [] : [given]);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    expect(await parts.leasing.extend(parts.caller, [third?.leaseId ?? ""], 600_000)).toEqual([
      expect.any(Date),
    ]);
    expect(await reportAll(parts, of(first), "completed")).toMatchObject([{ contactStatus: "completed" }]);
    expect(await reportAll(parts, of(second), "busy")).toMatchObject([{ contactStatus: "waiting_retry" }]);
    await release(parts, [third?.leaseId ?? ""]);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    expect(await jobOf(jobId)).toMatchObject({
      status: "paused",
      counts: { completed: 1, waiting_retry: 1, pending: 3, dialing: 0 },
    });
    await eventually(async () => expect(await keysOf(jobId)).toEqual([]));

    await parts.jobs.resume(onJob(parts, jobId));
    const given = await lease(parts, { maxContacts: 10 });
    expect(given.map(({ number, attempt }) => [number, attempt]).toSorted()).toEqual([
      [second?.number, 2],
      [third?.number, 1],
      [4, 1],
      [5, 1],
    ]);
  });

  test("does not end the job when its last contact is done; resuming does", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    await reportAll(parts, [given], "completed");
    expect(await jobOf(jobId)).toMatchObject({ status: "paused", finishedAt: null, revision: 3 });
    expect(await parts.jobs.resume(onJob(parts, jobId))).toMatchObject({ status: "completed" });
    expect(await jobOf(jobId)).toMatchObject({ status: "completed", failureReason: null, revision: 4 });
    expect(await keysOf(jobId)).toEqual([]);
  });

  test("of which nothing was completed ends failed by resuming", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    await runOut(parts, [given]);
    expect(await parts.jobs.resume(onJob(parts, jobId))).toMatchObject({ status: "failed" });
    expect(await jobOf(jobId)).toMatchObject({ failureReason: "no_call_completed", counts: { unknown: 1 } });
  });

  test("and a resumption with a call in hand ends the job when that call ends", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const given = await leaseOne(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    expect(await parts.jobs.resume(onJob(parts, jobId))).toMatchObject({ status: "running" });
    await reportAll(parts, [given], "completed");
    expect((await jobOf(jobId)).status).toBe("completed");
  });
});

describe("a cancellation", () => {
  test("counts what it cancels exactly, and lets the calls in progress end", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(10), retryDelaysMs: [0] });
    const [done, busy, live, released, over] = await lease(parts, { maxContacts: 5 });
    const of = (given: typeof done) => (given === undefined ? [] : [given]);
    await reportAll(parts, of(done), "completed");
    await reportAll(parts, of(busy), "busy");
    expect(await parts.jobs.cancel(onJob(parts, jobId))).toMatchObject({ contactsCancelled: 6 });
    await makeRetriesDue(parts, jobId);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    expect((await refusal(parts.jobs.delete(onJob(parts, jobId)))).reason).toBe("invalid_status");

    expect(await reportAll(parts, of(live), "busy")).toMatchObject([{ contactStatus: "busy" }]);
    expect(await release(parts, [released?.leaseId ?? ""])).toEqual([true]);
    await runOut(parts, of(over));
    const { contacts } = await parts.jobs.listContacts(parts.caller, jobId, [], { size: 0, token: "" });
    expect(contacts.map(({ status }) => status).toSorted()).toEqual(
      ["busy", "completed", "unknown", ...Array.from({ length: 7 }, () => "cancelled")].toSorted(),
    );
    expect(await jobOf(jobId)).toMatchObject({ status: "cancelled", counts: { dialing: 0 }, revision: 3 });
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    await eventually(async () => expect(await keysOf(jobId)).toEqual([]));
    await parts.jobs.delete(onJob(parts, jobId));
    expect((await refusal(jobOf(jobId))).reason).toBe("job_not_found");
  });

  test("frees the slots of its calls for other jobs only when they end", async () => {
    await parts.db
      .updateTable("organizations")
      .set({ lease_limit: 1 })
      .where("id", "=", parts.caller.organizationId)
      .execute();
    const jobId = await runJob(parts);
    const given = await leaseOne(parts);
    const other = await runJob(parts);
    await parts.jobs.cancel(onJob(parts, jobId));
    expect(await lease(parts)).toEqual([]);
    await reportAll(parts, [given], "completed");
    expect(await lease(parts)).toMatchObject([{ jobId: other }]);
  });

  test("of a paused job with a call in hand counts the rest", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const given = await leaseOne(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    expect(await parts.jobs.cancel(onJob(parts, jobId))).toMatchObject({ contactsCancelled: 3 });
    expect(await reportAll(parts, [given], "completed")).toMatchObject([{ kind: "recorded" }]);
    expect(await jobOf(jobId)).toMatchObject({ status: "cancelled", counts: { completed: 1 } });
  });
});

describe("the end of a job", () => {
  test.each([
    ["completed", null, ["completed", "failed", "voicemail"]],
    ["failed", "no_call_completed", ["failed", "invalid_number", "voicemail"]],
  ] as const)("is %s with the reason %s when its calls ended %s", async (status, reason, ends) => {
    const jobId = await runJob(parts);
    for (const outcome of ends) {
      expect(await jobOf(jobId)).toMatchObject({ status: "running", finishedAt: null });
      await reportAll(parts, [await leaseOne(parts)], outcome);
    }
    expect(await jobOf(jobId)).toMatchObject({
      status,
      failureReason: reason,
      finishedAt: expect.any(Date),
      revision: 3,
    });
    await eventually(async () => expect(await keysOf(jobId)).toEqual([]));
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  });

  test("does not come while a contact waits for a retry", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    await reportAll(parts, [await leaseOne(parts)], "busy");
    expect((await jobOf(jobId)).status).toBe("running");
    await makeRetriesDue(parts, jobId);
    await reportAll(parts, [await leaseOne(parts)], "completed");
    expect((await jobOf(jobId)).status).toBe("completed");
  });

  test("comes once when its last calls end on two replicas at once", async () => {
    await using other = await startParts({ beside: parts });
    for (let trial = 0; trial < 20; trial += 1) {
      const jobId = await runJob(parts, { contacts: makeContacts(2) });
      const leases = await lease(parts, { maxContacts: 2 });
      const replicas = [parts, { ...other, caller: parts.caller }];
      await Promise.all(leases.map((given, i) => reportAll(replicas[i] ?? parts, [given], "completed")));
      expect(await jobOf(jobId)).toMatchObject({
        status: "completed",
        counts: { completed: 2 },
        revision: 3,
      });
    }
  });

  test("does not come when contacts are added while the last call ends", async () => {
    for (let trial = 0; trial < 20; trial += 1) {
      const jobId = await runJob(parts, { contacts: makeContacts(1) });
      const given = await leaseOne(parts);
      const adding = parts.jobs.addContacts(onJob(parts, jobId), makeContacts(1, 7)).then(
        () => ({ status: "running", totalContacts: 2, counts: { pending: 1 } }),
        () => ({ status: "completed", totalContacts: 1, counts: { pending: 0 } }),
      );
      const [expected] = await Promise.all([adding, reportAll(parts, [given], "completed")]);
      expect(await jobOf(jobId)).toMatchObject(expected);
      await parts.jobs.cancel(onJob(parts, jobId)).catch(() => {});
    }
  });
});
