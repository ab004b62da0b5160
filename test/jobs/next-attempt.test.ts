import { expect, test } from "vitest";
import type { CallingHours } from "../../src/domain/time/hours.ts";
import { lease, reportAll, runJob } from "../leasing/leases.ts";
import { hoursAround, notNow, zoneAt } from "../support/hours.ts";
import { makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";

/* When a contact is called again whose delay is over while its hours are closed. */

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const hourMs = 3_600_000;
const never: CallingHours = { windows: [], exceptions: [], closeEarlyMs: 0 };

/** Two contacts where it is noon, and hours from an hour ago until in one hour at least. */
const atNoon = () => ({
  contacts: makeContacts(2),
  timeZone: zoneAt(12),
  callingHours: hoursAround([12]),
  concurrentCallLimit: 2,
});
/** When hours begin there the next day. */
const tomorrow = () => new Date((Math.floor(Date.now() / hourMs) + 23) * hourMs);

/** Calls the contacts, of whom all are busy. */
async function callAll(jobId: string): Promise<void> {
  const leases = await lease(parts, { maxContacts: 2, waitMs: 20_000 });
  expect(leases.map((given) => given.jobId)).toEqual([jobId, jobId]);
  await reportAll(parts, leases, "busy");
}

const nextOf = async (jobId: string, number = 1) =>
  (await parts.jobs.getContact(parts.caller, jobId, number)).contact.nextAttemptAt;
const nextInList = async (jobId: string) => {
  const page = { size: 10, token: "" };
  const { contacts } = await parts.jobs.listContacts(parts.caller, jobId, [], page);
  return contacts.map(({ nextAttemptAt }) => nextAttemptAt);
};
const holdsOf = async (jobId: string) => parts.holds.ofJob(await parts.jobs.get(parts.caller, jobId));

test("a contact is called again when its hours open, if its delay is over before", async () => {
  const until = tomorrow();
  const jobId = await runJob(parts, { ...atNoon(), retryDelaysMs: [4 * hourMs] });
  await callAll(jobId);
  expect(await nextOf(jobId)).toEqual(until);
  expect(await nextInList(jobId)).toEqual([until, until]);
  const { job, contact } = await parts.jobs.getContact(parts.caller, jobId, 2);
  expect(await parts.holds.ofContact(job, contact)).toEqual({ reason: "retry_delay", contacts: 1, until });
  expect(await holdsOf(jobId)).toEqual([{ reason: "retry_delay", contacts: 2, until }]);
});

test("a contact is called again after its delay, if that is over within its hours", async () => {
  const jobId = await runJob(parts, { ...atNoon(), retryDelaysMs: [60_000] });
  await callAll(jobId);
  const next = await nextOf(jobId);
  expect(next?.getTime()).toBeGreaterThan(Date.now());
  expect(next?.getTime()).toBeLessThanOrEqual(Date.now() + 60_000);
  expect((await holdsOf(jobId))[0]?.until?.getTime()).toBeLessThanOrEqual(Date.now() + 60_000);
});

test("each contact is called again by the hours of its own zone", async () => {
  const noon = tomorrow();
  const { contacts, ...fields } = atNoon();
  const own = contacts.map((contact, i) => (i === 0 ? { ...contact, timezone: zoneAt(18) } : contact));
  const retryDelaysMs = [4 * hourMs];
  const jobId = await runJob(parts, { ...fields, retryDelaysMs, contacts: own, callingHours: null });
  await callAll(jobId);
  await parts.jobs.update(onJob(parts, jobId), { callingHours: fields.callingHours });
  // Where it is six hours later hours begin six hours sooner.
  expect(await nextInList(jobId)).toEqual([new Date(noon.getTime() - 6 * hourMs), noon]);
});

test("a contact is called again by the hours that its job has by then, or never", async () => {
  const jobId = await runJob(parts, {
    ...atNoon(),
    timeZone: "UTC",
    callingHours: null,
    retryDelaysMs: [1_000],
  });
  await callAll(jobId);
  const callingHours = notNow();
  const [{ date } = { date: "" }] = callingHours.exceptions;
  await parts.jobs.update(onJob(parts, jobId), { callingHours });
  expect(await nextOf(jobId)).toEqual(new Date(`${date}T10:00:00Z`));
  await parts.jobs.update(onJob(parts, jobId), { callingHours: never });
  expect(await nextOf(jobId)).toBeNull();
});
