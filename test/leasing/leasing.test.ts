import { randomUUID } from "node:crypto";
import { describe, expect, test } from "vitest";
import { expectAllLive, lease, leaseOne, limitOrganization, reportAll, runJob } from "./leases.ts";
import { readLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization, inNewOrganizations } from "../support/replicas.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const numbersOf = (leases: readonly { number: number }[]) => leases.map(({ number }) => number);

describe("a lease", () => {
  test("tells all that a call needs, and begins the contact's history", async () => {
    const contacts = [{ phone: "+14155550123", name: "Ada", fields: { plan: "gold" } }];
    const jobId = await runJob(parts, { contacts, fromPhoneNumberId: "pn_7", maxAttempts: 4 });
    const given = await leaseOne(parts, { workerId: "worker-7", durationMs: 60_000 });
    expect(given).toEqual({
      leaseId: expect.stringMatching(/^[\w-]{36}$/),
      nonce: readLeaseId(given.leaseId).nonce,
      jobId,
      number: 1,
      attempt: 1,
      expiresAt: expect.any(Date),
      callBefore: null,
      phone: "+14155550123",
      name: "Ada",
      fields: { plan: "gold" },
      fromPhoneNumberId: "pn_7",
      maxAttempts: 4,
    });
    const { contact, attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact).toMatchObject({
      status: "dialing",
      attempts: 1,
      lastOutcome: null,
      nextAttemptAt: null,
    });
    expect(attempts).toMatchObject([
      {
        attempt: 1,
        nonce: readLeaseId(given.leaseId).nonce,
        workerId: "worker-7",
        endedAt: null,
        outcome: null,
      },
    ]);
    const [attempt] = attempts;
    expect(given.expiresAt).toEqual(attempt?.expiresAt);
    expect(given.expiresAt.getTime() - (attempt?.leasedAt.getTime() ?? 0)).toBe(60_000);
  });

  test("is given in the order of the list, and moves the counts", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(5) });
    expect(numbersOf(await lease(parts, { maxContacts: 2 }))).toEqual([1, 2]);
    expect(numbersOf(await lease(parts, { maxContacts: 2 }))).toEqual([3, 4]);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      status: "running",
      totalContacts: 5,
      counts: { pending: 1, dialing: 4 },
    });
  });

  test.each(["pending", "scheduled", "paused", "cancelled"] as const)(
    "is not given of a job that is %s",
    async (status) => {
      const requestedStartTime = status === "scheduled" ? "2031-01-01T00:00:00" : "";
      const made = await parts.jobs.create(onJob(parts, ""), aNewJob({ requestedStartTime }));
      const request = onJob(parts, made.batchJobId);
      if (status === "paused" || status === "cancelled") await parts.jobs.start(request);
      if (status === "paused") await parts.jobs.pause(request);
      if (status === "cancelled") await parts.jobs.cancel(request);
      expect((await parts.jobs.get(parts.caller, made.batchJobId)).status).toBe(status);
      expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    },
  );

  test("is not given of another organization's job", async () => {
    const jobId = await runJob(parts);
    const stranger = await forNewOrganization(parts);
    expect(await lease(stranger, { maxContacts: 10, jobIds: [jobId] })).toEqual([]);
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([1, 2, 3]);
  });

  test("is given once of a number that is on the list twice", async () => {
    const jobId = await runJob(parts);
    const list = parts.keys.contacts({ id: jobId, organizationId: parts.caller.organizationId });
    await parts.redis.rpush(list, "1", "2", "3", "99");
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([1, 2, 3]);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  });

  test("is found behind many numbers that are done with", async () => {
    const jobId = await runJob(parts);
    await lease(parts, { maxContacts: 2 });
    const list = parts.keys.contacts({ id: jobId, organizationId: parts.caller.organizationId });
    await parts.redis.lpush(list, ...Array.from({ length: 200 }, (_, i) => String((i % 2) + 1)));
    expect(numbersOf(await lease(parts, { waitMs: 20_000 }))).toEqual([3]);
  });
});

describe("the filter by job", () => {
  test("gives contacts of these jobs only, and ignores ids that are unknown or no ids", async () => {
    await runJob(parts);
    const wanted = await runJob(parts);
    const jobIds = [wanted, randomUUID(), "no id"];
    const given = await lease(parts, { maxContacts: 10, jobIds });
    expect(given.map(({ jobId }) => jobId)).toEqual([wanted, wanted, wanted]);
    expect(await lease(parts, { jobIds })).toEqual([]);
    expect(await lease(parts, { jobIds: [randomUUID()] })).toEqual([]);
    expect(await lease(parts, { jobIds: ["no id"] })).toEqual([]);
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(3);
  });
});

describe("the limits", () => {
  test("of a job is never passed, and a call that ends makes room for one", async () => {
    await runJob(parts, { contacts: makeContacts(5), concurrentCallLimit: 2 });
    const first = await lease(parts, { maxContacts: 10 });
    expect(numbersOf(first)).toEqual([1, 2]);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    await reportAll(parts, first.slice(0, 1), "completed");
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([3]);
  });

  test("of the organization is never passed by its jobs together", async () => {
    await limitOrganization(parts, 3);
    await runJob(parts);
    await runJob(parts);
    const first = await lease(parts, { maxContacts: 10 });
    expect(first).toHaveLength(3);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    await reportAll(parts, first.slice(0, 2), "completed");
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(2);
  });

  test("are kept when many workers on two replicas ask at once", async () => {
    await using other = await startParts({ beside: parts });
    await limitOrganization(parts, 7);
    await runJob(parts, { contacts: makeContacts(100), concurrentCallLimit: 4 });
    await runJob(parts, { contacts: makeContacts(100), concurrentCallLimit: 5 });
    const replicas = [parts, { ...other, caller: parts.caller }];
    const asked = Array.from({ length: 20 }, (_, i) => lease(replicas[i % 2] ?? parts, { maxContacts: 3 }));
    const given = (await Promise.all(asked)).flat();
    expect(given).toHaveLength(7);
    await expectAllLive(parts, given);
  });
});
