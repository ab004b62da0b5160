import { sql } from "kysely";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ContactStatus } from "../../src/domain/contacts/contact.ts";
import { aNewJob, createJobWith, makeContacts, makeJob, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";
import { writeCalled } from "../support/contact-tables.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

const copyOf = (batchJobId: string, statuses: readonly ContactStatus[] = [], request = {}) =>
  parts.jobs.create(
    onJob(parts, "", request),
    aNewJob({ contacts: [], copyContacts: { batchJobId, statuses } }),
  );

async function contactsOf(batchJobId: string) {
  const { rows } = await sql<{ number: number; phone: string; name: string; status: string }>`
    select number, phone, name, status from current_contacts where job_id = ${batchJobId} order by number
  `.execute(parts.db);
  return rows;
}

const numbered = (contacts: readonly { phone: string; name: string }[]) =>
  contacts.map(({ phone, name }, i) => ({ number: i + 1, phone, name, status: "pending" }));

const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

/** A running job of 500 contacts: five are dialing, then come 200 completed, then some busy among the pending. */
async function aMixedJob() {
  const job = await makeJob(parts, { status: "running", contacts: 500, dialing: 5 });
  await writeCalled(parts.db, job, from(6, 200), "completed");
  const busy = from(206, 200).filter((number) => number % 3 === 0);
  await writeCalled(parts.db, job, busy, "busy");
  return { id: job.id, busy };
}

test("copies the same list again, whatever became of it", async () => {
  const { id } = await aMixedJob();
  const copied = await copyOf(id);
  expect(copied).toMatchObject({ status: "pending", totalContacts: 500 });
  expect(await contactsOf(copied.batchJobId)).toEqual(numbered(makeContacts(500)));
  const job = await parts.jobs.get(parts.caller, copied.batchJobId);
  expect(job).toMatchObject({ copiedFrom: id, totalContacts: 500, counts: { pending: 500, dialing: 0 } });
});

test("copies those that were not reached, numbered anew in their order", async () => {
  const { id, busy } = await aMixedJob();
  const copied = await copyOf(id, ["busy", "no_answer"]);
  const list = makeContacts(500);
  expect(await contactsOf(copied.batchJobId)).toEqual(
    numbered(busy.map((number) => list[number - 1]).filter((contact) => contact !== undefined)),
  );
});

test("copies contacts that are dialing only where their status is asked for", async () => {
  const { id, busy } = await aMixedJob();
  expect((await copyOf(id, ["pending"])).totalContacts).toBe(500 - 5 - 200 - busy.length);
  const { batchJobId } = await copyOf(id, ["dialing"]);
  expect(await contactsOf(batchJobId)).toEqual(numbered(makeContacts(5)));
});

test("copies the contacts of a cancelled job as they are shown", async () => {
  const { id } = await makeJob(parts, { status: "cancelled", contacts: 4 });
  expect((await copyOf(id, ["cancelled"])).totalContacts).toBe(4);
  expect(await refusal(copyOf(id, ["pending"]))).toMatchObject({ reason: "no_contacts" });
});

test("copies those that a job had left when its end came", async () => {
  const { id } = await makeJob(parts, { status: "running", contacts: 4 });
  await sql`
    update batch_jobs set status = 'failed', failure_reason = 'no_call_completed', finished_at = clock_timestamp()
    where id = ${id}`.execute(parts.db);
  expect((await copyOf(id, ["expired"])).totalContacts).toBe(4);
  expect(await refusal(copyOf(id, ["pending"]))).toMatchObject({ reason: "no_contacts" });
});

test("knows every phone of a copy when contacts are added to it", async () => {
  const { id, busy } = await aMixedJob();
  const { batchJobId } = await copyOf(id, ["busy"]);
  const added = await parts.jobs.addContacts(onJob(parts, batchJobId), makeContacts(510));
  expect(added).toMatchObject({ acceptedCount: 510 - busy.length, rejectedCount: busy.length });
});

test("refuses a job that is not there, another organization's, and one without such contacts", async () => {
  const other = { ...parts, caller: await makeCaller(parts) };
  const theirs = await makeJob(other);
  const empty = await createJobWith(parts, []);
  const before = await parts.db.selectFrom("batch_jobs").select("id").execute();
  for (const id of [theirs.id, "00000000-0000-4000-8000-000000000000", "no id"]) {
    expect(await refusal(copyOf(id))).toMatchObject({ reason: "job_not_found" });
  }
  expect(await refusal(copyOf(empty))).toMatchObject({ reason: "no_contacts" });
  expect(await parts.db.selectFrom("batch_jobs").select("id").execute()).toHaveLength(before.length);
});

test("copies once for a request id, and answers the same again", async () => {
  const { id } = await makeJob(parts);
  const request = { requestId: "copy-once", fingerprint: () => Buffer.from("the same") };
  const [first, again] = await Promise.all([copyOf(id, [], request), copyOf(id, [], request)]);
  expect(again).toEqual(first);
  const { rows } = await sql<{ data: object }>`
    select data from events where request_id = 'copy-once' and type = 'batch_job.created'`.execute(parts.db);
  expect(rows).toMatchObject([{ data: { copiedFrom: id, totalContacts: 3 } }]);
});

test("refuses a copy for which the organization has no room", async () => {
  const caller = await makeCaller(parts);
  const theirs = { ...parts, caller };
  const { id } = await makeJob(theirs);
  await sql`update organizations set stored_contact_limit = 5 where id = ${caller.organizationId}`.execute(
    parts.db,
  );
  const copy = parts.jobs.create(
    onJob(theirs, ""),
    aNewJob({ contacts: [], copyContacts: { batchJobId: id, statuses: [] } }),
  );
  expect(await refusal(copy)).toMatchObject({ reason: "limit_exceeded" });
});

test("leaves those out whose phone is suppressed by now, whether all are copied or some", async () => {
  const theirs = { ...parts, caller: await makeCaller(parts) };
  const { id } = await makeJob(theirs, { status: "cancelled", contacts: 4 });
  const phones = makeContacts(4).map(({ phone }) => phone);
  const entry = { reason: "asked", expiresMs: undefined };
  await parts.suppression.add(
    onJob(theirs, ""),
    phones.slice(1, 3).map((phone) => ({ phone, ...entry })),
  );
  for (const statuses of [[], ["cancelled"]] satisfies ContactStatus[][]) {
    const copied = await parts.jobs.create(
      onJob(theirs, ""),
      aNewJob({ contacts: [], copyContacts: { batchJobId: id, statuses } }),
    );
    expect((await contactsOf(copied.batchJobId)).map(({ phone }) => phone)).toEqual([phones[0], phones[3]]);
  }
});

test("leaves contacts in the time zones in which the other job calls them", async () => {
  const zones = ["America/New_York", undefined, "Europe/Paris", "America/New_York"];
  const list = makeContacts(4).map((contact, i) => {
    const timezone = zones[i];
    return timezone === undefined ? contact : { ...contact, timezone };
  });
  const { batchJobId: id } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: list }));
  const setsOf = async (jobId: string) =>
    await sql<{ zones: string[]; contacts: number; pending: number }>`
      select zones, contacts, pending_contacts as pending from zone_sets
      where job_id = ${jobId} and zone_set > 0 order by zone_set`.execute(parts.db);
  const blocksOf = async (jobId: string) =>
    await sql`select first_number, zone_sets from contact_blocks where job_id = ${jobId}`.execute(parts.db);
  for (const statuses of [[], ["pending"]] satisfies ContactStatus[][]) {
    const { batchJobId } = await copyOf(id, statuses);
    expect((await setsOf(batchJobId)).rows).toEqual([
      { zones: ["America/New_York"], contacts: 2, pending: 2 },
      { zones: ["Europe/Paris"], contacts: 1, pending: 1 },
    ]);
    expect((await blocksOf(batchJobId)).rows).toEqual((await blocksOf(id)).rows);
  }
});

test("copies while somebody has locked the other job", async () => {
  const { id } = await makeJob(parts);
  await parts.db.transaction().execute(async (trx) => {
    await sql`select from batch_jobs where id = ${id} for update`.execute(trx);
    expect((await copyOf(id)).totalContacts).toBe(3);
  });
});
