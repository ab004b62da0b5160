import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import { lease, leaseOne, letRunOut, makeRetriesDue, release, reportAll, runJob, runOut } from "./leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const listOf = (jobId: string) =>
  parts.redis.lrange(parts.keys.contacts({ id: jobId, organizationId: parts.caller.organizationId }), 0, -1);

describe("release", () => {
  test("gives a contact back to the head of the list, as if it had never been taken", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const before = await parts.jobs.getContact(parts.caller, jobId, 1);
    const [first, second] = await lease(parts, { maxContacts: 2 });
    expect(await release(parts, [first?.leaseId ?? "", second?.leaseId ?? ""])).toEqual([true, true]);
    expect(await parts.jobs.getContact(parts.caller, jobId, 1)).toEqual(before);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      counts: { pending: 4, dialing: 0 },
    });
    await eventually(async () => expect((await listOf(jobId)).slice(2)).toEqual(["3", "4"]));
    const again = await lease(parts, { maxContacts: 2 });
    expect(again.map(({ number, attempt }) => [number, attempt]).toSorted()).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(again.map(({ leaseId }) => leaseId)).not.toContain(first?.leaseId);
  });

  test("of a second attempt uses its number again, at once", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    await reportAll(parts, [await leaseOne(parts)], "busy");
    await makeRetriesDue(parts, jobId);
    const second = await leaseOne(parts);
    await release(parts, [second.leaseId]);
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({ status: "waiting_retry", attempts: 1, lastOutcome: "busy" });
    expect(attempts).toMatchObject([{ attempt: 1, outcome: "busy" }]);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({ counts: { waiting_retry: 1 } });
    expect(await lease(parts)).toMatchObject([{ number: 1, attempt: 2 }]);
  });

  test("makes room for another call", async () => {
    await runJob(parts, { contacts: makeContacts(3), concurrentCallLimit: 1 });
    const { leaseId } = await leaseOne(parts);
    expect(await lease(parts)).toEqual([]);
    await release(parts, [leaseId]);
    expect(await lease(parts)).toHaveLength(1);
  });

  test("of a lease that has ended or was released finds nothing, and changes nothing", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const [reported, over, released] = await lease(parts, { maxContacts: 3 });
    const of = (given: typeof reported) => (given === undefined ? [] : [given]);
    await reportAll(parts, of(reported), "completed");
    await runOut(parts, of(over));
    await release(parts, [released?.leaseId ?? ""]);
    const before = await parts.jobs.get(parts.caller, jobId);
    const ids = [reported, over, released].map((given) => given?.leaseId ?? "");
    expect(await release(parts, ids)).toEqual(ids.map(() => false));
    expect(await reportAll(parts, of(released), "completed")).toEqual([{ kind: "gone" }]);
    expect(await parts.jobs.get(parts.caller, jobId)).toEqual(before);
  });
});

describe("extend", () => {
  test("puts the end of live leases off, and says which are gone", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const [live, ended, over] = await lease(parts, { maxContacts: 3 });
    const of = (given: typeof live) => (given === undefined ? [] : [given]);
    await reportAll(parts, of(ended), "completed");
    await runOut(parts, of(over));
    const ids = [live, ended, over].map((given) => given?.leaseId ?? "");
    const extended = await parts.leasing.extend(parts.caller, ids, 3_600_000);
    expect(extended).toEqual([expect.any(Date), undefined, undefined]);
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, live?.number ?? 0);
    expect(attempts[0]?.expiresAt).toEqual(extended[0]);
    const gained = (attempts[0]?.expiresAt.getTime() ?? 0) - (live?.expiresAt.getTime() ?? 0);
    expect(gained).toBeGreaterThan(3_600_000 - 121_000);
  });

  test("does not bring back a lease whose time is over, even before the service ends it", async () => {
    await runJob(parts);
    const given = await leaseOne(parts);
    await letRunOut(parts, [given.leaseId]);
    expect(await parts.leasing.extend(parts.caller, [given.leaseId], 600_000)).toEqual([undefined]);
  });

  test("keeps a lease that would have been ended without it", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const [kept, lost] = await lease(parts, { maxContacts: 2, durationMs: 400 });
    await parts.leasing.extend(parts.caller, [kept?.leaseId ?? ""], 600_000);
    await eventually(async () => {
      await runOut(parts, []);
      expect(await parts.jobs.getContact(parts.caller, jobId, lost?.number ?? 0)).toMatchObject({
        contact: { status: "unknown" },
      });
    });
    expect(await parts.jobs.getContact(parts.caller, jobId, kept?.number ?? 0)).toMatchObject({
      contact: { status: "dialing" },
      attempts: [{ endedAt: null }],
    });
  });
});
