import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { readLeaseId, writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { type Database, openDatabase } from "../../src/postgres/connections/database.ts";
import { lockOrganization } from "../../src/postgres/jobs/locks.ts";
import { openLeases } from "../../src/postgres/leasing/leases.ts";
import { breaches } from "../support/breaches.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { forNewOrganization, onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { suppress, unsuppress } from "../support/suppress.ts";
import {
  lease,
  leaseOne,
  limitOrganization,
  makeRetriesDue,
  release,
  report,
  reportAll,
  runJob,
  runOut,
} from "./leases.ts";
import { offerOf } from "../support/offers.ts";

let parts: Parts;
let there: Parts;
onTwoReplicasInNewOrganizations((here, beside) => {
  parts = here;
  there = beside;
});

const phones = (count: number, first = 0) => makeContacts(count, first).map(({ phone }) => phone);
const numbersOf = (leases: readonly { number: number }[]) => leases.map(({ number }) => number);
const jobOf = (jobId: string) => parts.jobs.get(parts.caller, jobId);
const contactOf = (jobId: string, number: number) => parts.jobs.getContact(parts.caller, jobId, number);

describe("a contact whose phone is suppressed", () => {
  test("ends as suppressed, without an attempt, when it is to be leased", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    await suppress(parts, phones(1));
    expect(numbersOf(await lease(parts, { maxContacts: 3 }))).toEqual([2, 3]);
    expect(await jobOf(jobId)).toMatchObject({
      status: "running",
      counts: { pending: 0, dialing: 2, suppressed: 1 },
    });
    expect(await contactOf(jobId, 1)).toMatchObject({
      contact: { status: "suppressed", attempts: 0, lastOutcome: null, nextAttemptAt: null },
      attempts: [],
    });
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("ends so too where it waits for a retry, with the attempts that it had", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1), retryDelaysMs: [0] });
    await reportAll(parts, await lease(parts), "busy");
    await suppress(parts, phones(1));
    expect(await lease(parts)).toEqual([]);
    expect(await contactOf(jobId, 1)).toMatchObject({
      contact: { status: "suppressed", attempts: 1, lastOutcome: "busy", nextAttemptAt: null },
      attempts: [{ attempt: 1, outcome: "busy" }],
    });
    expect(await jobOf(jobId)).toMatchObject({ status: "failed", failureReason: "no_call_completed" });
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("ends its job with the last of them, as one of whose calls none was completed", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const { revision } = await jobOf(jobId);
    await suppress(parts, phones(3));
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    expect(await jobOf(jobId)).toMatchObject({
      status: "failed",
      failureReason: "no_call_completed",
      finishedAt: expect.any(Date),
      revision: revision + 1,
      counts: { pending: 0, suppressed: 3 },
    });
    // Nothing of it is left in Redis.
    const key = { id: jobId, organizationId: parts.caller.organizationId };
    await eventually(async () => expect(await parts.contactList.position(key)).toBeUndefined());
  });

  test("completes its job where another call was completed", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2) });
    await suppress(parts, phones(1, 1));
    await reportAll(parts, [await leaseOne(parts)], "completed");
    expect(await lease(parts)).toEqual([]);
    expect(await jobOf(jobId)).toMatchObject({
      status: "completed",
      counts: { completed: 1, suppressed: 1 },
    });
  });

  test("does not end its job while another contact is dialing", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2) });
    await suppress(parts, phones(1, 1));
    const given = await leaseOne(parts);
    expect(await lease(parts)).toEqual([]);
    expect(await jobOf(jobId)).toMatchObject({ status: "running", counts: { dialing: 1, suppressed: 1 } });
    await reportAll(parts, [given], "completed");
    expect(await jobOf(jobId)).toMatchObject({ status: "completed" });
  });

  test("takes no room of a limit, and keeps nobody from the contacts behind it", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(400), concurrentCallLimit: 2 });
    await limitOrganization(parts, 2);
    await suppress(parts, phones(397));
    expect(numbersOf(await lease(parts, { maxContacts: 3, waitMs: 20_000 }))).toEqual([398, 399]);
    expect(await jobOf(jobId)).toMatchObject({ counts: { pending: 1, dialing: 2, suppressed: 397 } });
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("is passed by in few rounds, however many there are and however little room there is", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(5_000), concurrentCallLimit: 1 });
    await suppress(parts, phones(4_999));
    const before = await rounds();
    expect(numbersOf(await lease(parts, { waitMs: 60_000 }))).toEqual([5_000]);
    // Twice as far each time up to 1,000, and then so many at a time.
    expect((await rounds()) - before).toBeLessThan(20);
    expect(await jobOf(jobId)).toMatchObject({ counts: { suppressed: 4_999, dialing: 1 } });
  });

  test("is passed by so where all of them are retries", async () => {
    const contacts = makeContacts(300);
    const jobId = await runJob(parts, { contacts, concurrentCallLimit: 300, retryDelaysMs: [0] });
    await limitOrganization(parts, 300);
    await reportAll(parts, await lease(parts, { maxContacts: 300 }), "busy");
    await makeRetriesDue(parts, jobId);
    await limitOrganization(parts, 1);
    await suppress(parts, phones(299));
    const before = await rounds();
    expect(numbersOf(await lease(parts, { waitMs: 60_000 }))).toEqual([300]);
    expect((await rounds()) - before).toBeLessThan(20);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("is called in an organization that has not suppressed it", async () => {
    const other = await forNewOrganization(parts);
    await suppress(other, phones(1));
    await runJob(parts, { contacts: makeContacts(1) });
    expect(await lease(parts)).toHaveLength(1);
  });

  test("stays as it ended when its phone is taken off the list, and others are called then", async () => {
    const first = await runJob(parts, { contacts: makeContacts(2) });
    await suppress(parts, phones(2));
    expect(await lease(parts, { maxContacts: 2 })).toEqual([]);
    expect(await unsuppress(parts, phones(2))).toMatchObject({ removedCount: 2 });
    expect(await contactOf(first, 1)).toMatchObject({ contact: { status: "suppressed" } });
    await runJob(parts, { contacts: makeContacts(1) });
    expect(await lease(parts)).toHaveLength(1);
  });

  test("is called once its entry has expired", async () => {
    await runJob(parts, { contacts: makeContacts(1) });
    await suppress(parts, phones(1), { expiresMs: parts.clock.now() + 60_000 });
    await sql`
      update suppressed_phones set expires_at = clock_timestamp() - interval '1 millisecond'
      where organization_id = ${parts.caller.organizationId}`.execute(parts.db);
    expect(await lease(parts)).toHaveLength(1);
  });

  test("is not put on the list of numbers again by a fan-out", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3), concurrentCallLimit: 1 });
    await suppress(parts, phones(1));
    const given = await leaseOne(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    await unsuppress(parts, phones(1));
    await parts.jobs.resume(onJob(parts, jobId));
    await reportAll(parts, [given], "completed");
    expect(numbersOf(await lease(parts, { waitMs: 20_000 }))).toEqual([3]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });
});

/** How many transactions have locked the organization to lease or to report. */
async function rounds(): Promise<number> {
  const { rows } = await sql<{ rounds: number }>`
    select count(distinct ended_at)::int as rounds from attempts
    where organization_id = ${parts.caller.organizationId} and outcome = 'suppressed'`.execute(parts.db);
  return rows[0]?.rounds ?? 0;
}

describe("a lease that is live when its phone is suppressed", () => {
  test("goes on, and its outcome is recorded; its worker is told if it asks", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const leases = await lease(parts, { maxContacts: 2 });
    const [first, second] = leases;
    await suppress(parts, phones(1));
    const ids = [...leases.map(({ leaseId }) => leaseId), "nobody's"];
    expect(await parts.leasing.check(parts.caller, ids)).toEqual([
      { expiresAt: first?.expiresAt, callBefore: null, isSuppressed: true },
      { expiresAt: second?.expiresAt, callBefore: null, isSuppressed: false },
      undefined,
    ]);
    expect(await reportAll(parts, leases, "completed")).toMatchObject([
      { kind: "recorded", contactStatus: "completed" },
      { kind: "recorded", contactStatus: "completed" },
    ]);
    expect(await parts.leasing.check(parts.caller, ids)).toEqual([undefined, undefined, undefined]);
    expect(await jobOf(jobId)).toMatchObject({ counts: { completed: 2, suppressed: 0 } });
  });

  test("is nobody's of another organization", async () => {
    await runJob(parts, { contacts: makeContacts(1) });
    const { leaseId } = await leaseOne(parts);
    const other = await forNewOrganization(parts);
    expect(await parts.leasing.check(other.caller, [leaseId])).toEqual([undefined]);
  });

  test("ends its contact as suppressed once it is released", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const { leaseId } = await leaseOne(parts);
    await suppress(parts, phones(1));
    expect(await release(parts, [leaseId])).toEqual([true]);
    // Its number goes back to the list beside the answer.
    await eventually(async () => {
      expect(await lease(parts)).toEqual([]);
      expect(await contactOf(jobId, 1)).toMatchObject({ contact: { status: "suppressed", attempts: 0 } });
    });
  });

  test("is not given to a repeat of the call that leased it", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2) });
    const requestId = randomUUID();
    expect(await lease(parts, { requestId, maxContacts: 2 })).toHaveLength(2);
    await suppress(parts, phones(1));
    expect(numbersOf(await lease(parts, { requestId, maxContacts: 2 }))).toEqual([2]);
    await eventually(async () => expect(await jobOf(jobId)).toMatchObject({ counts: { pending: 1 } }));
  });
});

async function suppressedAfterUnknown() {
  const jobId = await runJob(parts, {
    contacts: makeContacts(2),
    retryOn: ["unknown", "busy"],
    retryDelaysMs: [0],
  });
  const given = await leaseOne(parts);
  await runOut(parts, [given]);
  await suppress(parts, phones(1));
  // The other contact keeps the job running.
  expect(numbersOf(await lease(parts, { maxContacts: 2 }))).toEqual([2]);
  expect(await contactOf(jobId, 1)).toMatchObject({ contact: { status: "suppressed", attempts: 1 } });
  return { jobId, given };
}

describe("a late report of a contact that has ended as suppressed since", () => {
  test("is how the contact ended, if its outcome is final", async () => {
    const { jobId, given } = await suppressedAfterUnknown();
    expect(await report(parts, [{ leaseId: given.leaseId, outcome: "completed" }])).toEqual([
      { kind: "recorded", outcome: "completed", contactStatus: "completed", nextAttemptAt: null },
    ]);
    expect(await jobOf(jobId)).toMatchObject({ counts: { completed: 1, suppressed: 0, dialing: 1 } });
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("is recorded, and leaves the contact suppressed, if it would be tried again", async () => {
    const { jobId, given } = await suppressedAfterUnknown();
    await unsuppress(parts, phones(1));
    const reports = [{ leaseId: given.leaseId, outcome: "busy" as const }];
    const answer = { outcome: "busy", contactStatus: "suppressed", nextAttemptAt: null };
    expect(await report(parts, reports)).toEqual([{ kind: "recorded", ...answer }]);
    expect(await report(parts, reports)).toEqual([{ kind: "already_recorded", ...answer }]);
    expect(await contactOf(jobId, 1)).toMatchObject({
      contact: { status: "suppressed", attempts: 1, lastOutcome: "busy" },
    });
    expect(await lease(parts)).toEqual([]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });
});

/** Waits until so many statements of this database wait for a lock. */
const untilWaiting = (db: Database, count: number) =>
  eventually(async () => {
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
    expect(rows[0]?.count).toBe(count);
  });

describe("an addition beside a lease that is being opened", () => {
  test("is answered after the lease is there for all to see, if that did not see the phone", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const { organizationId } = parts.caller;
    let isAnswered = false;
    const adding = await parts.db.transaction().execute(async (trx) => {
      const { leases } = await openLeases(
        trx,
        organizationId,
        [offerOf(jobId, [1])],
        [{ workerId: "w", requestId: "", ticket: 0, most: 1, durationMs: 60_000 }],
      );
      expect(leases.flat()).toHaveLength(1);
      const answered = suppress(there, phones(1)).then(() => (isAnswered = true));
      await untilWaiting(parts.db, 1);
      expect(isAnswered).toBe(false);
      return { answered };
    });
    await adding.answered;
    expect(
      await parts.db.selectFrom("leases").select("number").where("job_id", "=", jobId).execute(),
    ).toEqual([{ number: 1 }]);
  });

  test("is seen by the lease that comes after it, though that began before it was answered", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(1) });
    const own = openDatabase({ url: parts.databaseUrl, poolSize: 2 });
    await using closing = new AsyncDisposableStack();
    closing.defer(() => own.destroy());
    const [adding, leasing] = await own.transaction().execute(async (trx) => {
      await lockOrganization(trx, parts.caller.organizationId);
      const added = suppress(there, phones(1));
      await untilWaiting(parts.db, 1);
      const leased = lease(parts);
      await untilWaiting(parts.db, 2);
      return [[added], [leased]] as const;
    });
    await adding[0];
    expect(await leasing[0]).toEqual([]);
    expect(await contactOf(jobId, 1)).toMatchObject({ contact: { status: "suppressed" } });
  });
});

test("a lease id made for the row of a suppressed contact is no lease", async () => {
  const jobId = await runJob(parts, { contacts: makeContacts(2) });
  const given = await leaseOne(parts, { maxContacts: 1 });
  await suppress(parts, phones(1, 1));
  expect(await lease(parts)).toEqual([]);
  const made = { ...readLeaseId(given.leaseId), number: 2, attempt: 1, nonce: 0 };
  expect(await parts.recorder.release(parts.caller.organizationId, [given.leaseId])).toEqual([true]);
  expect(await report(parts, [{ leaseId: writeLeaseId(made), outcome: "completed" }])).toEqual([
    { kind: "gone" },
  ]);
  expect(await contactOf(jobId, 2)).toMatchObject({ contact: { status: "suppressed" } });
});
