import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createHolds } from "../../src/jobs/holds.ts";
import { eventually } from "../support/eventually.ts";
import { always, moveOpening, notNow } from "../support/hours.ts";
import { makeContacts, makeJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { forNewOrganization, inNewOrganizations } from "../support/replicas.ts";
import { suppress, unsuppress } from "../support/suppress.ts";
import { lease, leaseOne, limitOrganization, makeRetriesDue, reportAll, runJob } from "../leasing/leases.ts";

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const holds = async (jobId: string) => await parts.holds.ofJob(await parts.jobs.get(parts.caller, jobId));

async function holdOf(jobId: string, number: number) {
  const { job, contact } = await parts.jobs.getContact(parts.caller, jobId, number);
  return await parts.holds.ofContact(job, contact);
}

/** Says that a worker asks, without a lease. */
const ask = () => parts.askers.note(parts.caller.organizationId, [], 60_000);

describe("the contacts of a job are held", () => {
  test("until it starts", async () => {
    const { id, scheduled_at: until } = await makeJob(parts, { status: "scheduled", contacts: 4 });
    expect(await holds(id)).toEqual([{ reason: "not_started", contacts: 4, until }]);
    expect(await holdOf(id, 4)).toEqual({ reason: "not_started", contacts: 1, until });
  });

  test("one by one, whose phone is suppressed, whatever else holds them, until that expires", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const phones = makeContacts(3).map(({ phone }) => phone);
    const until = new Date(Date.now() + 3_600_000);
    await suppress(parts, phones.slice(0, 1));
    await suppress(parts, phones.slice(1, 2), { expiresMs: until.getTime() });
    await parts.jobs.pause(onJob(parts, jobId));
    expect(await holdOf(jobId, 1)).toEqual({ reason: "suppressed", contacts: 1, until: null });
    expect(await holdOf(jobId, 2)).toEqual({ reason: "suppressed", contacts: 1, until });
    expect(await holdOf(jobId, 3)).toMatchObject({ reason: "paused" });
    await unsuppress(parts, phones);
    expect(await holdOf(jobId, 1)).toMatchObject({ reason: "paused" });
    await suppress(parts, phones);
    await parts.jobs.cancel(onJob(parts, jobId));
    expect(await holdOf(jobId, 1)).toBeUndefined();
  });

  test("in whatever zones they are, whose phones are suppressed, and the others by what holds them", async () => {
    const contacts = makeContacts(6).map((contact, i) => ({
      ...contact,
      timezone: i < 3 ? "Asia/Tokyo" : "",
    }));
    const jobId = await runJob(parts, { contacts, callingHours: always, concurrentCallLimit: 2 });
    await moveOpening(parts, jobId, { fromMs: 600_000, untilMs: 900_000 });
    const leases = await lease(parts, { maxContacts: 2, waitMs: 20_000 });
    await reportAll(parts, leases.slice(0, 1), "busy");
    // One waits for a retry, one dials, one is pending in each set; another one was on the list.
    await suppress(
      parts,
      [1, 2, 3, 6].map((number) => contacts[number - 1]?.phone ?? ""),
    );
    await suppress(
      parts,
      contacts.slice(4, 5).map(({ phone }) => phone),
      { expiresMs: Date.now() + 60_000 },
    );
    await sql`
      update suppressed_phones set expires_at = clock_timestamp() - interval '1 second'
      where organization_id = ${parts.caller.organizationId} and expires_at < 'infinity'`.execute(parts.db);
    expect(await holds(jobId)).toMatchObject([
      { reason: "suppressed", contacts: 3, until: null },
      { reason: "calling_hours", contacts: 2 },
    ]);
    await parts.jobs.pause(onJob(parts, jobId));
    expect(await holds(jobId)).toEqual([
      { reason: "suppressed", contacts: 3, until: null },
      { reason: "paused", contacts: 2, until: null },
    ]);
  });

  test("while it is paused", async () => {
    const jobId = await runJob(parts);
    await lease(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    expect(await holds(jobId)).toEqual([{ reason: "paused", contacts: 2, until: null }]);
    expect(await holdOf(jobId, 1)).toBeUndefined();
    expect(await holdOf(jobId, 2)).toEqual({ reason: "paused", contacts: 1, until: null });
  });

  test("by the delays of their retries, and not once those are over", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3), concurrentCallLimit: 2 });
    await reportAll(parts, await lease(parts, { maxContacts: 2 }), "busy");
    await sql`
      update retries set due_at = due_at + number * interval '1 hour'
      where organization_id = ${parts.caller.organizationId} and job_id = ${jobId}`.execute(parts.db);
    const [delayed, ...others] = await holds(jobId);
    expect(others).toEqual([]);
    expect(delayed).toMatchObject({ reason: "retry_delay", contacts: 2 });
    const inMs = (delayed?.until?.getTime() ?? 0) - Date.now();
    // Five minutes and the hour of the first, not of the second.
    expect(inMs).toBeGreaterThan(60 * 60_000);
    expect(inMs).toBeLessThan(66 * 60_000);
    expect(await holdOf(jobId, 1)).toMatchObject({ reason: "retry_delay", contacts: 1 });
    expect(await holdOf(jobId, 3)).toBeUndefined();
    await makeRetriesDue(parts, jobId);
    expect(await holds(jobId)).toEqual([]);
    expect(await holdOf(jobId, 1)).toBeUndefined();
  });

  test("by the hours of their own zones, each by those of its own", async () => {
    const contacts = makeContacts(4).map((contact, i) => ({
      ...contact,
      timezone: ["Asia/Tokyo", "Asia/Seoul", "Asia/Tokyo", ""][i] ?? "",
    }));
    const jobId = await runJob(parts, { contacts, callingHours: notNow() });
    await ask();
    const close = { fromMs: 900_000, untilMs: 999_000 };
    const { from: later } = await moveOpening(parts, jobId, { ...close, zoneSet: 1 });
    const { from: sooner } = await moveOpening(parts, jobId, {
      fromMs: 600_000,
      untilMs: 999_000,
      zoneSet: 2,
    });
    await moveOpening(parts, jobId, { fromMs: -1_000, untilMs: 999_000 });
    expect(await holds(jobId)).toEqual([{ reason: "calling_hours", contacts: 3, until: sooner }]);
    expect(await holdOf(jobId, 3)).toEqual({ reason: "calling_hours", contacts: 1, until: later });
    expect(await holdOf(jobId, 4)).toBeUndefined();
    await moveOpening(parts, jobId, { fromMs: -1_000, untilMs: 999_000, zoneSet: 1 });
    await reportAll(parts, await lease(parts, { maxContacts: 3 }), "busy");
    // One of set 0 and two of Tokyo wait for their delay; of Seoul nobody was called.
    expect(await holds(jobId)).toMatchObject([
      { reason: "calling_hours", contacts: 1 },
      { reason: "retry_delay", contacts: 3 },
    ]);
    await moveOpening(parts, jobId, { ...close, zoneSet: 1 });
    expect(await holds(jobId)).toMatchObject([
      { reason: "calling_hours", contacts: 3 },
      { reason: "retry_delay", contacts: 1 },
    ]);
    expect(await holdOf(jobId, 1)).toMatchObject({ reason: "calling_hours" });
    expect(await holdOf(jobId, 4)).toMatchObject({ reason: "retry_delay" });
  });

  test("where nobody knows their zones, for ever, as long as there are hours", async () => {
    const contacts = ["+12125550100", "+672100000"].map((phone) => ({ phone, name: "", fields: {} }));
    const jobId = await runJob(parts, { contacts, zonesFromPhone: true, callingHours: always });
    await ask();
    await eventually(async () =>
      expect(await holds(jobId)).toEqual([{ reason: "unknown_zone", contacts: 1, until: null }]),
    );
    expect(await holdOf(jobId, 2)).toEqual({ reason: "unknown_zone", contacts: 1, until: null });
    expect(await holdOf(jobId, 1)).toBeUndefined();
  });

  test("while its hours are closed, until they open", async () => {
    const jobId = await runJob(parts, { callingHours: notNow() });
    const { from: until } = await moveOpening(parts, jobId, { fromMs: 600_000, untilMs: 900_000 });
    expect(await holds(jobId)).toEqual([{ reason: "calling_hours", contacts: 3, until }]);
    expect(await holdOf(jobId, 2)).toEqual({ reason: "calling_hours", contacts: 1, until });
    await moveOpening(parts, jobId, { fromMs: -600_000, untilMs: -1 });
    expect(await holds(jobId)).toEqual([{ reason: "calling_hours", contacts: 3, until: null }]);
    await ask();
    await moveOpening(parts, jobId, { fromMs: -600_000, untilMs: 600_000 });
    expect(await holds(jobId)).toEqual([]);
  });

  test("by its pace, until the next call may begin", async () => {
    const jobId = await runJob(parts, { callsPerSecond: 0.01 });
    await leaseOne(parts);
    const [hold] = await holds(jobId);
    expect(hold).toMatchObject({ reason: "pace", contacts: 2 });
    const inMs = (hold?.until?.getTime() ?? 0) - Date.now();
    expect(inMs).toBeGreaterThan(40_000);
    expect(inMs).toBeLessThan(101_000);
  });

  test("by the pace of its organization", async () => {
    const jobId = await runJob(parts);
    await parts.db
      .updateTable("organizations")
      .set({ calls_per_second: 0.01 })
      .where("id", "=", parts.caller.organizationId)
      .execute();
    await leaseOne(parts);
    expect(await holds(jobId)).toMatchObject([{ reason: "pace", contacts: 2 }]);
  });

  test("until a limit that grows allows one more", async () => {
    const jobId = await runJob(parts, { concurrentCallLimit: 11, rampUpMs: 10 * 3_600_000 });
    await leaseOne(parts);
    const { startedAt } = await parts.jobs.get(parts.caller, jobId);
    const until = new Date((startedAt?.getTime() ?? 0) + 3_600_001);
    expect(await holds(jobId)).toEqual([{ reason: "job_limit", contacts: 2, until }]);
  });

  test("by its limit", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(5), concurrentCallLimit: 2 });
    await lease(parts, { maxContacts: 2 });
    expect(await holds(jobId)).toEqual([{ reason: "job_limit", contacts: 3, until: null }]);
    expect(await holdOf(jobId, 5)).toEqual({ reason: "job_limit", contacts: 1, until: null });
  });

  test("by the limit of its organization, which another job may have used up", async () => {
    await limitOrganization(parts, 1);
    await runJob(parts);
    await leaseOne(parts);
    const jobId = await runJob(parts, { contacts: makeContacts(2, 10) });
    expect(await holds(jobId)).toEqual([{ reason: "organization_limit", contacts: 2, until: null }]);
  });

  test("for want of a worker, until one asks for contacts of the job", async () => {
    const { id: jobId } = await makeJob(parts, { status: "running", contacts: 3 });
    const { id: another } = await makeJob(parts, { status: "running", contacts: 1 });
    const without = [{ reason: "no_worker", contacts: 3, until: null }];
    expect(await holds(jobId)).toEqual(without);
    await lease(parts, { jobIds: [another.toUpperCase()] });
    await eventually(async () => expect(await holds(another)).toEqual([]));
    expect(await holds(jobId)).toEqual(without);
    await lease(parts);
    await eventually(async () => expect(await holds(jobId)).toEqual([]));
  });

  test("of another organization's worker nothing is said", async () => {
    const { id: jobId } = await makeJob(parts, { status: "running", contacts: 3 });
    await lease(await forNewOrganization(parts), {});
    expect(await holds(jobId)).toMatchObject([{ reason: "no_worker" }]);
  });

  test("but nobody says for want of a worker while Redis does not answer", async () => {
    const { id: jobId } = await makeJob(parts, { status: "running", contacts: 3 });
    const job = await parts.jobs.get(parts.caller, jobId);
    const silent = createHolds({
      lookUps: parts.db,
      askers: { ...parts.askers, has: () => new Promise<boolean>(() => {}) },
    });
    expect(await silent.ofJob(job)).toEqual([]);
    const away = createHolds({
      lookUps: parts.db,
      askers: { ...parts.askers, has: () => Promise.reject(new Error("away")) },
    });
    expect(await away.ofJob(job)).toEqual([]);
  });

  test("by nothing while they are being leased, and once the job has ended", async () => {
    const { id: running } = await makeJob(parts, { status: "running", contacts: 3 });
    await ask();
    expect(await holds(running)).toEqual([]);
    const { id: cancelled } = await makeJob(parts, { status: "cancelled", contacts: 3 });
    expect(await holds(cancelled)).toEqual([]);
    expect(await holdOf(cancelled, 1)).toBeUndefined();
  });
});
