import { createHash, randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { LoggedEvent } from "../../src/domain/event.ts";
import type { ContactInput, Outcome } from "../../src/domain/contacts/contact.ts";
import { attemptsType, keepDeliveries } from "../../src/postgres/events/webhook-deliveries.ts";
import { insertEndpoint, lockEndpoint } from "../../src/postgres/events/webhook-endpoints.ts";
import { holdEndpoints } from "../../src/postgres/events/webhook-holders.ts";
import { readErasureKey, keepErasureKey } from "../../src/postgres/phones/erased-phones.ts";
import { keepRedisPrefix } from "../../src/postgres/schema/installation.ts";
import { sortPhones } from "../../src/postgres/phones/sorted-phones.ts";
import { type Report, lease, makeRetriesDue, release, report, runJob, runOut } from "../leasing/leases.ts";
import { eventJson } from "../../src/rpc/convert/events.ts";
import { toParcels } from "../../src/webhooks/parcels.ts";
import { settle } from "../../src/webhooks/settling.ts";
import { breaches } from "../support/breaches.ts";
import { eventually } from "../support/eventually.ts";
import { allKeys } from "../support/everything.ts";
import { fileOf, rowsOf } from "../support/exports.ts";
import { importContacts } from "../support/import-file.ts";
import { differencesFromLog } from "../support/log-fold.ts";
import { aNewJob, createJobWith, makeContacts, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";
import { aCommand, suppress, unsuppress } from "../support/suppress.ts";
import { placesOf } from "../support/whole-database.ts";
import { notTaken } from "../webhooks/webhooks.ts";

let shared: Parts;
beforeAll(async () => {
  shared = await startParts();
  await keepRedisPrefix(shared.db, shared.prefix);
  await keepErasureKey(shared.db, shared.erasureKey);
});
afterAll(() => shared[Symbol.asyncDispose]());

let parts: Parts;
let person: ContactInput;
let people = 0;
beforeEach(async () => {
  parts = { ...shared, caller: await makeCaller(shared) };
  people += 1;
  const phone = `+49157${10_000_000 + people}`;
  person = { phone, name: `Ada no. ${people} Lovelace`, fields: { town: `Kiel no. ${people}` } };
});

/** What tells who the person is, and what workers have said of the calls. */
const traces = () => [person.phone.slice(1), person.name, person.fields["town"] ?? "", `said no. ${people}`];

const said = () => ({
  errorCode: `code said no. ${people}`,
  failureReason: `why said no. ${people}`,
  callDurationMs: 1_000,
  providerCallId: `id said no. ${people}`,
});

const reportsOf = (leases: readonly { leaseId: string }[], outcome: Outcome): Report[] =>
  leases.map(({ leaseId }) => ({ leaseId, outcome, details: said() }));

const erase = (fields: Partial<ReturnType<typeof aCommand>> = {}, phone = person.phone) =>
  parts.jobs.erase({ ...aCommand(parts), ...fields }, phone, "asked in writing");

const withId = (requestId: string, asked = requestId) => ({
  requestId,
  fingerprint: () => createHash("sha256").update(asked).digest(),
});

/** Where in the database, and in Redis, anything of the person is. */
async function everywhere(): Promise<string[]> {
  const keys = JSON.stringify(await allKeys(parts));
  const inRedis = traces().filter((trace) => keys.includes(trace));
  return [...(await placesOf(parts.db, traces())), ...inRedis.map((trace) => `${trace} in Redis`)];
}

async function sortAll(): Promise<void> {
  while (await sortPhones(parts.db)) {
    // Goes on with the next part.
  }
}

async function allEvents(): Promise<readonly LoggedEvent[]> {
  const query = { afterSequence: 0, types: [], batchJobIds: [], pageSize: 1_000 };
  return (await parts.eventLog.list(parts.caller, query)).events;
}

/** All events, as they wait for receivers that do not take them: many together, and each by itself. */
async function keepUndelivered(): Promise<void> {
  const events = await allEvents();
  const parcels = [events, ...events.map((event) => [event])].flatMap((some) =>
    toParcels(randomUUID(), some, eventJson),
  );
  for (const { id, type, body } of parcels) {
    await sql`
      insert into webhook_deliveries (
        organization_id, endpoint_id, id, type, events, first_sequence, last_sequence, status, due_at, body)
      values (${parts.caller.organizationId}, ${randomUUID()}, ${id}, ${type}, 1, 1, 1, 'pending', now(), ${body})`.execute(
      parts.db,
    );
  }
}

const undelivered = async () =>
  (
    await sql<{ id: string; body: string }>`
      select id, body from webhook_deliveries
      where organization_id = ${parts.caller.organizationId} order by id`.execute(parts.db)
  ).rows;

/** Without what was said of the calls of the person, and else as it was written. */
const withoutWords = <T extends { body: string }>(deliveries: readonly T[]): T[] =>
  deliveries.map((one) => ({
    ...one,
    body: [said().errorCode, said().providerCallId].reduce(
      (body, word) => body.replaceAll(word, ""),
      one.body,
    ),
  }));

const others = makeContacts(4);
const jobOf = (jobId: string) => parts.jobs.get(parts.caller, jobId);
const contactOf = (jobId: string, number: number) => parts.jobs.getContact(parts.caller, jobId, number);
const copyOf = async (batchJobId: string) =>
  (
    await parts.jobs.create(
      onJob(parts, ""),
      aNewJob({ contacts: [], copyContacts: { batchJobId, statuses: [] } }),
    )
  ).batchJobId;

async function jobOfFile(contacts: readonly ContactInput[]): Promise<string> {
  const id = await createJobWith(parts, []);
  await importContacts(parts, id, contacts);
  return id;
}

/** Jobs of every status and kind, in each of which the person is, whatever has become of it. */
async function jobsOfEveryKind(): Promise<string[]> {
  const ended = await runJob(parts, { contacts: [person] });
  await report(parts, reportsOf(await lease(parts), "completed"));
  const waiting = await runJob(parts, {
    contacts: [person, ...others.slice(0, 1)],
    retryDelaysMs: [3_600_000],
  });
  await report(parts, reportsOf(await lease(parts), "busy"));
  await parts.jobs.pause(onJob(parts, waiting));
  const late = await runJob(parts, { contacts: [person, ...others.slice(0, 1)], retryOn: [] });
  const leases = await lease(parts);
  await runOut(parts, leases);
  await report(parts, reportsOf(leases, "carrier_error"));
  await report(parts, reportsOf(leases, "no_answer"));
  await parts.jobs.pause(onJob(parts, late));
  const dialing = await runJob(parts, { contacts: [person, ...others] });
  await lease(parts);
  const scheduled = await parts.jobs.create(
    onJob(parts, ""),
    aNewJob({ contacts: [person], requestedStartTime: "2999-01-01T10:00:00" }),
  );
  const cancelled = await createJobWith(parts, [...others, person]);
  await parts.jobs.cancel(onJob(parts, cancelled));
  const file = await jobOfFile([...others, person]);
  const appended = await createJobWith(parts, others);
  await importContacts(parts, appended, [...others, person]);
  await sortAll();
  const entered = await jobOfFile([person]);
  const copied = await copyOf(file);
  await parts.jobs.addContacts(onJob(parts, entered), others);
  return [ended, waiting, late, dialing, scheduled.batchJobId, cancelled, file, appended, entered, copied];
}

test(
  "nothing of a person is left once the call has answered, and every count is as it was",
  { timeout: 90_000 },
  async () => {
    const jobs = await jobsOfEveryKind();
    // A deleted job whose rows are still there, an answer that is kept, and the list of suppressed phones.
    const deleted = await createJobWith(parts, [person]);
    await parts.jobs.delete(onJob(parts, deleted));
    await parts.jobs.addContacts(onJob(parts, jobs[6] ?? "", withId("the same")), [person]);
    await suppress(parts, [person.phone]);
    await keepUndelivered();
    const waiting = await undelivered();
    const before = await Promise.all(jobs.map(jobOf));
    // Postgres has a sample of each column, with which it plans.
    await sql`analyze`.execute(parts.db);
    const places = await everywhere();
    for (const table of [
      "contact_blocks",
      "contact_phones",
      "sorted_phones",
      "attempts",
      "events",
      "requests",
      "webhook_deliveries",
    ])
      expect(places.join()).toContain(`${table}.`);
    expect(places.join()).toContain("suppressed_phones.phone");
    expect(places.join()).toContain("pg_stats.");

    expect(await erase()).toMatchObject({ erasedContacts: jobs.length + 1 });
    expect(await everywhere()).toEqual([]);
    expect(await undelivered()).toEqual(withoutWords(waiting));
    expect(await Promise.all(jobs.map(jobOf))).toEqual(before);
    expect(await breaches(parts, jobs)).toEqual({});
    expect(await differencesFromLog(parts.db, parts.caller.organizationId)).toEqual([]);
    const page = await parts.jobs.findContacts(parts.caller, person.phone, { size: 0, token: "" });
    expect(page.found).toEqual([]);
    for (const jobId of jobs) {
      const { contacts } = await parts.jobs.listContacts(parts.caller, jobId, [], { size: 0, token: "" });
      expect(contacts.filter(({ phone }) => phone === "")).toMatchObject([{ name: "", fields: {} }]);
      const rows = rowsOf(await fileOf(parts, jobId, { attempts: "all" }));
      expect(rows).toHaveLength(contacts.length - 1);
    }
    await sortAll();
    expect(await everywhere()).toEqual([]);
  },
);

/** A job in which the person and others were called, of each of which something else was said. */
async function callAll(): Promise<void> {
  await runJob(parts, { contacts: [person, ...others], retryOn: [] });
  const [first, ...further] = await lease(parts, { maxContacts: 5 });
  await report(parts, reportsOf(first === undefined ? [] : [first], "busy"));
  const ofOthers = { ...said(), errorCode: "486", failureReason: "busy", providerCallId: "CA-1" };
  await report(
    parts,
    reportsOf(further, "busy").map((one) => ({ ...one, details: ofOthers })),
  );
}

test("of what waits for receivers only the words about the person are gone", async () => {
  await callAll();
  await keepUndelivered();
  const waiting = await undelivered();
  const bodies = waiting.map(({ body }) => body);
  expect(bodies.filter((body) => body.includes(said().errorCode))).toHaveLength(2);
  expect(bodies.filter((body) => body.includes("CA-1"))).toHaveLength(5);
  await erase();
  expect(await undelivered()).toEqual(withoutWords(waiting));
});

describe("a body that is on its way to a receiver who does not take it", () => {
  const holder = "00000000-0000-4000-8000-000000000001";
  const progress = { sequence: 0, replay: undefined, hasDelivered: false };
  const anEndpoint = {
    url: "https://example.com",
    types: [],
    batchJobIds: [],
    description: "",
    secret: "whsec_x",
  };

  /** An endpoint, and what is on its way there: of the person and of others. */
  async function onItsWay() {
    const { organizationId } = parts.caller;
    await callAll();
    const { id } = await parts.db
      .transaction()
      .execute((trx) => insertEndpoint(trx, organizationId, anEndpoint));
    const parcels = toParcels(id, await allEvents(), eventJson).filter(({ type }) => type === attemptsType);
    const ended = parcels.map((parcel) => ({ parcel, attempts: 1, isKept: false, sent: notTaken }));
    expect(JSON.stringify(parcels)).toContain(said().errorCode);
    return { key: { organizationId, id }, ended };
  }

  test("is kept without the words about a person who was erased meanwhile", async () => {
    const { key, ended } = await onItsWay();
    await erase();
    await holdEndpoints(parts.db, holder);
    expect(await settle(parts.db, key, holder, { progress, ended })).toBe(true);
    expect(await undelivered()).toEqual(
      withoutWords(ended.map(({ parcel: { id, body } }) => ({ id, body }))),
    );
    expect(await everywhere()).toEqual([]);
  });

  test("is seen by whoever erases while it is being kept", async () => {
    const { key, ended } = await onItsWay();
    let erasing: Promise<unknown> = Promise.resolve();
    await parts.db.transaction().execute(async (trx) => {
      await lockEndpoint(trx, key);
      const attempted = ended.map(({ parcel, attempts }) => ({
        ...parcel,
        attempts,
        status: "pending" as const,
        retryMs: 1,
        httpStatus: 500,
        failure: "status" as const,
        durationMs: 1,
        answer: "",
      }));
      await keepDeliveries(trx, key, attempted);
      erasing = erase();
      await eventually(async () => {
        const waiting = sql`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
            and query like '%from webhook_endpoints where organization_id%for share%'`;
        expect((await waiting.execute(parts.db)).rows).toHaveLength(1);
      });
    });
    await erasing;
    expect(await undelivered()).toEqual(
      withoutWords(ended.map(({ parcel: { id, body } }) => ({ id, body }))),
    );
    expect(await everywhere()).toEqual([]);
  });
});

test("whoever was erased is kept out, whichever way they come, and no answer shows the phone", async () => {
  const source = await createJobWith(parts, [person, ...others]);
  await erase();
  const rejection = { index: 1, phone: "", reason: "erased_phone", field: "phone" };
  const given = [...others.slice(0, 1), person];
  const created = await parts.jobs.create(onJob(parts, "", withId("create")), aNewJob({ contacts: given }));
  expect(created).toMatchObject({ totalContacts: 1, rejected: [rejection] });
  const added = await parts.jobs.addContacts(onJob(parts, created.batchJobId, withId("add")), [
    ...others.slice(1),
    person,
    { ...person, name: "\t" },
  ]);
  expect(added).toMatchObject({
    acceptedCount: 3,
    rejected: [
      { ...rejection, index: 3 },
      { phone: "", index: 4 },
    ],
  });
  for (const jobId of [created.batchJobId, await createJobWith(parts, [])]) {
    const imported = await importContacts(parts, jobId, [
      ...makeContacts(20, 100),
      person,
      ...others,
      person,
    ]);
    const erased = imported.rejected.filter(({ reason }) => reason === "erased_phone");
    expect(erased.map(({ line, phone }) => [line, phone])).toEqual([
      [22, ""],
      [27, ""],
    ]);
  }
  expect(await jobOf(await copyOf(source))).toMatchObject({ totalContacts: 4 });
  expect(await suppress(parts, [person.phone])).toMatchObject({ addedCount: 0, alreadyCount: 1 });
  expect(await suppress(parts, [person.phone], { reason: "" })).toMatchObject({ rejected: [{ phone: "" }] });
  expect(await everywhere()).toEqual([]);
  const only = parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [person] }));
  expect(await refusal(only)).toMatchObject({
    reason: "no_valid_contacts",
    metadata: { firstReason: "erased_phone" },
  });
});

describe("a contact that is erased", () => {
  test("in a call ends as its call does, and of what is reported no word is kept", async () => {
    const jobId = await runJob(parts, { contacts: [person, ...others.slice(0, 1)], retryDelaysMs: [0] });
    const [given] = await lease(parts, { requestId: "a request" });
    await erase();
    expect(await parts.leasing.check(parts.caller, [given?.leaseId ?? ""])).toMatchObject([
      { isSuppressed: true },
    ]);
    expect(await report(parts, reportsOf(given ? [given] : [], "completed"))).toMatchObject([
      { kind: "recorded" },
    ]);
    expect(await contactOf(jobId, 1)).toMatchObject({
      contact: { phone: "", status: "completed", attempts: 1 },
      attempts: [{ outcome: "completed", callDurationMs: 1_000, errorCode: null, failureReason: null }],
    });
    expect(await jobOf(jobId)).toMatchObject({ counts: { completed: 1, pending: 1, dialing: 0 } });
    expect(await everywhere()).toEqual([]);
  });

  test("and reported late, is counted so, and no word is kept either", async () => {
    const jobId = await runJob(parts, { contacts: [person], retryOn: [] });
    const leases = await lease(parts);
    await runOut(parts, leases);
    await erase();
    await report(parts, reportsOf(leases, "completed"));
    expect(await contactOf(jobId, 1)).toMatchObject({
      contact: { status: "completed" },
      attempts: [{ outcome: "completed", callDurationMs: 1_000, providerCallId: null }],
    });
    expect(await everywhere()).toEqual([]);
  });

  test("is not leased any more: it ends as suppressed when its turn comes", async () => {
    const pending = await runJob(parts, { contacts: [person, ...others] });
    await erase();
    expect((await lease(parts, { maxContacts: 10 })).map(({ number }) => number)).toEqual([2, 3, 4, 5]);
    expect(await contactOf(pending, 1)).toMatchObject({ contact: { status: "suppressed", attempts: 0 } });
    expect(await breaches(parts, [pending])).toEqual({});
  });

  test("is not called again where it waits for a retry, or was released", async () => {
    const waiting = await runJob(parts, { contacts: [person], retryDelaysMs: [3_600_000] });
    await report(parts, reportsOf(await lease(parts), "busy"));
    const released = await runJob(parts, { contacts: [person] });
    const [given] = await lease(parts, { jobIds: [released] });
    await erase();
    await release(parts, [given?.leaseId ?? ""]);
    await makeRetriesDue(parts, waiting);
    expect(await lease(parts, { maxContacts: 10, waitMs: 2_000 })).toEqual([]);
    for (const jobId of [waiting, released])
      expect(await jobOf(jobId)).toMatchObject({ status: "failed", counts: { suppressed: 1 } });
  });

  test("is not given to a repetition of the call that has leased it", async () => {
    await runJob(parts, { contacts: [person, ...others.slice(0, 1)] });
    const asked = { requestId: "a request", maxContacts: 2 };
    expect(await lease(parts, asked)).toHaveLength(2);
    await erase();
    expect(await lease(parts, asked)).toMatchObject([{ number: 2, phone: others[0]?.phone }]);
  });
});

test("the log tells which contacts were erased, by whom and why, and not who they were", async () => {
  const jobId = await createJobWith(parts, [...others, person]);
  await erase(withId("for the log"));
  const { rows } = await sql`
    select type, actor, api_key_id, request_id, batch_job_id, number, data from events
    where organization_id = ${parts.caller.organizationId} and type like '%.erased' order by sequence`.execute(
    parts.db,
  );
  const by = { actor: "api_key", api_key_id: parts.caller.apiKeyId, request_id: "for the log" };
  expect(rows).toEqual([
    { type: "contact.erased", ...by, batch_job_id: jobId, number: 5, data: null },
    {
      type: "phone.erased",
      ...by,
      batch_job_id: null,
      number: null,
      data: { erasedContacts: 1, reason: "asked in writing" },
    },
  ]);
});

describe("a repetition", () => {
  test("is answered alike, with its id and without, and erases nobody else", async () => {
    await createJobWith(parts, [person]);
    const first = await erase(withId("once"));
    const rows = () => sql`select * from contact_blocks order by job_id`.execute(parts.db);
    const before = await rows();
    expect(await erase(withId("once"))).toEqual(first);
    expect(await erase()).toMatchObject({ erasedContacts: 1 });
    expect((await rows()).rows).toEqual(before.rows);
    const { rows: told } = await sql`
      select from events where type = 'phone.erased' and request_id = 'once'
        and organization_id = ${parts.caller.organizationId}`.execute(parts.db);
    expect(told).toHaveLength(1);
  });

  test("goes on where the call before was broken off, and is answered as if it had not been", async () => {
    const jobs = [await createJobWith(parts, [person]), await createJobWith(parts, [...others, person])];
    await sql
      .raw(
        `
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'broken off'; end $$`,
      )
      .execute(parts.db);
    await sql
      .raw(
        `
      create trigger refuse before update on contact_blocks for each row when (old.job_id = '${jobs[0]}')
      execute function refuse()`,
      )
      .execute(parts.db);
    await expect(erase(withId("broken off"))).rejects.toThrow("broken off");
    const left = () => parts.jobs.findContacts(parts.caller, person.phone, { size: 0, token: "" });
    expect((await left()).found).toMatchObject([{ job: { id: jobs[0] } }]);
    await sql.raw("drop trigger refuse on contact_blocks; drop function refuse").execute(parts.db);
    expect(await erase(withId("broken off"))).toMatchObject({ erasedContacts: 2 });
    expect(await everywhere()).toEqual([]);
  });

  test("of another request is refused before anybody is erased", async () => {
    await createJobWith(parts, [person]);
    await erase(withId("used"), "+4915700000000");
    const again = erase(withId("used", "something else"));
    expect(await refusal(again)).toMatchObject({ reason: "request_id_reused" });
    expect(
      (await parts.jobs.findContacts(parts.caller, person.phone, { size: 0, token: "" })).found,
    ).toHaveLength(1);
  });
});

test("a person who is being added meanwhile is erased, too", async () => {
  const { organizationId } = parts.caller;
  await createJobWith(parts, others);
  const hashes = () =>
    sql`select from erased_phones where organization_id = ${organizationId}`.execute(parts.db);
  const adders = () =>
    sql`select from pg_locks where locktype = 'advisory' and objid = ${organizationId}`.execute(parts.db);
  let adding: Promise<unknown> = Promise.resolve();
  let erasing: Promise<unknown> = Promise.resolve();
  await parts.db.transaction().execute(async (trx) => {
    // Whoever adds contacts waits here, when they are written.
    await sql`select from stored_contacts where organization_id = ${organizationId} for update`.execute(trx);
    adding = parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [person] }));
    await eventually(async () => expect((await adders()).rows).toHaveLength(1));
    erasing = erase();
    await eventually(async () => expect((await hashes()).rows).toHaveLength(1));
    const isOver = await Promise.race([erasing.then(() => "erased"), eventually(async () => adders())]);
    expect(isOver).not.toBe("erased");
  });
  await Promise.all([adding, erasing]);
  expect(await everywhere()).toEqual([]);
});

test("another organization's contacts with the phone are as they were, and others are added to it", async () => {
  const theirs = { ...shared, caller: await makeCaller(shared) };
  const jobs = [await createJobWith(theirs, [...others, person]), await createJobWith(theirs, [])];
  await importContacts(theirs, jobs[1] ?? "", [person]);
  await suppress(theirs, [person.phone]);
  await createJobWith(parts, [person]);
  const rows = async () => {
    const tables = [
      "batch_jobs",
      "contact_blocks",
      "contact_phones",
      "suppressed_phones",
      "events",
      "organizations",
    ];
    const all = tables.map(async (table) => {
      const owner = sql.ref(table === "organizations" ? "id" : "organization_id");
      const { rows: own } = await sql`
        select to_jsonb(t) as row from ${sql.table(table)} as t where ${owner} = ${theirs.caller.organizationId}
        order by t::text`.execute(parts.db);
      return [table, own] as const;
    });
    return Object.fromEntries(await Promise.all(all));
  };
  const before = await rows();
  await erase();
  expect(await rows()).toEqual(before);
  await unsuppress(theirs, [person.phone]);
  const added = await theirs.jobs.create(onJob(theirs, ""), aNewJob({ contacts: [person] }));
  expect(added).toMatchObject({ totalContacts: 1, rejectedCount: 0 });
  const page = await theirs.jobs.findContacts(theirs.caller, person.phone, { size: 0, token: "" });
  expect(page.found).toHaveLength(3);
});

test("what is no phone, and a reason that has the phone in it, are refused", async () => {
  expect(await refusal(erase({}, "0151 234"))).toMatchObject({ reason: "invalid_argument" });
  const digits = person.phone.slice(1);
  const told = parts.jobs.erase(aCommand(parts), person.phone, `of ${digits.slice(0, 4)} ${digits.slice(4)}`);
  expect(await refusal(told)).toMatchObject({ reason: "invalid_argument", metadata: { field: "reason" } });
});

test("a start with another key than that of erased people, or none, is refused", async () => {
  await using fresh = await startParts();
  await keepRedisPrefix(fresh.db, fresh.prefix);
  const key = readErasureKey("a key that is not that of the others");
  await keepErasureKey(fresh.db, undefined);
  await keepErasureKey(fresh.db, key);
  await keepErasureKey(fresh.db, fresh.erasureKey);
  await fresh.jobs.erase(aCommand(fresh), person.phone, "asked");
  await keepErasureKey(fresh.db, fresh.erasureKey);
  for (const other of [key, undefined])
    await expect(keepErasureKey(fresh.db, other)).rejects.toThrow("ERASURE_KEY is");
});
