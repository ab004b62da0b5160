import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import { createLeasing } from "../../src/leasing/leasing.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { openLeases } from "../../src/postgres/leasing/leases.ts";
import { breaches } from "../support/breaches.ts";
import { eventually } from "../support/eventually.ts";
import { always, hoursAround, moveOpening, notNow, openingOf, zoneAt } from "../support/hours.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import { lease, leaseOne, makeRetriesDue, release, report, reportAll, runJob, runOut } from "./leases.ts";

/* Contacts in several sets of time zones. */

let parts: Parts;
inNewOrganizations((own) => (parts = own));

const hour = 3_600_000;

const office = hoursAround([10, 13]);

/** Contacts by their own zones, in order; undefined for none. */
const contactsIn = (...zones: (string | undefined)[]) =>
  makeContacts(zones.length).map((contact, i) => {
    const timezone = zones[i];
    return timezone === undefined ? contact : { ...contact, timezone };
  });

const withPhones = (phones: readonly string[]) => phones.map((phone) => ({ phone, name: "", fields: {} }));

const keyOf = (id: string) => ({ id, organizationId: parts.caller.organizationId });
const listOf = (id: string, zoneSet: number) =>
  parts.redis.lrange(parts.keys.contacts(keyOf(id), zoneSet), 0, -1);
/** All keys that a job with at most four sets may have. */
const keysOf = (id: string) => [
  parts.keys.position(keyOf(id)),
  ...[0, 1, 2, 3].flatMap((zoneSet) => [
    parts.keys.contacts(keyOf(id), zoneSet),
    parts.keys.reserved(keyOf(id), zoneSet),
  ]),
];
const listsOf = (id: string, count: number) =>
  Promise.all(Array.from({ length: count }, (_, zoneSet) => listOf(id, zoneSet)));

const setsOf = (id: string) =>
  parts.db
    .selectFrom("zone_sets")
    .select(["zone_set", "zones", "is_own", "contacts", "pending_contacts as pending"])
    .where("job_id", "=", id)
    .orderBy("zone_set")
    .execute();

/** A job that runs, once its replica has reckoned the hours of all its sets. */
async function runInSets(fields: Partial<NewJob>): Promise<string> {
  const jobId = await runJob(parts, { callingHours: always, ...fields });
  await reckoned(jobId);
  return jobId;
}

async function reckoned(jobId: string): Promise<void> {
  const asleep = () =>
    parts.db
      .selectFrom("zone_sets")
      .select("zone_set")
      .where("job_id", "=", jobId)
      .where("next_look_at", "is", null)
      .execute();
  await eventually(async () => expect(await asleep()).toEqual([]));
}

const open = (jobId: string, zoneSet: number) =>
  moveOpening(parts, jobId, { fromMs: -1, untilMs: hour, zoneSet });
const close = (jobId: string, zoneSet: number) =>
  moveOpening(parts, jobId, { fromMs: hour, untilMs: 2 * hour, zoneSet });

/** Lets a job be long settled, so that the sweep looks at it at once. */
const settle = (jobId: string) =>
  parts.db
    .updateTable("batch_jobs")
    .set({ updated_at: new Date(Date.now() - hour) })
    .where("id", "=", jobId)
    .execute();

const numbersOf = (leases: readonly { readonly number: number }[]) => leases.map(({ number }) => number);

describe("contacts with time zones of their own", () => {
  test("are leased by the hours of these, and others by those of the job", async () => {
    const [noon, night] = [zoneAt(12), zoneAt(1)];
    const jobId = await runInSets({
      contacts: contactsIn(night, noon, undefined, noon, night),
      timeZone: zoneAt(14),
      callingHours: office,
    });
    expect(await setsOf(jobId)).toEqual([
      { zone_set: 0, zones: [], is_own: false, contacts: 0, pending: 0 },
      { zone_set: 1, zones: [night], is_own: true, contacts: 2, pending: 2 },
      { zone_set: 2, zones: [noon], is_own: true, contacts: 2, pending: 2 },
    ]);
    expect(await listsOf(jobId, 3)).toEqual([["3"], ["1", "5"], ["2", "4"]]);
    const leases = await lease(parts, { maxContacts: 10 });
    // Those first whose hours end first.
    expect(numbersOf(leases)).toEqual([3, 2, 4]);
    const ends = leases.map(({ callBefore }) => callBefore?.getUTCMinutes());
    expect(ends).toEqual([0, 0, 0]);
    expect((await setsOf(jobId)).map(({ pending }) => pending)).toEqual([0, 2, 0]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("are leased at any time where there are no hours", async () => {
    const jobId = await runInSets({
      contacts: contactsIn("Asia/Tokyo", undefined, "America/New_York"),
      callingHours: null,
    });
    const leases = await lease(parts, { maxContacts: 10 });
    expect(numbersOf(leases).toSorted()).toEqual([1, 2, 3]);
    expect(leases.map(({ callBefore }) => callBefore)).toEqual([null, null, null]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("are under the hours of their organization by these, too", async () => {
    const jobId = await runInSets({ contacts: contactsIn(zoneAt(1), zoneAt(12)), callingHours: null });
    await sql`
      update organizations set calling_hours = ${JSON.stringify(office)}, hours_revision = hours_revision + 1
      where id = ${parts.caller.organizationId}`.execute(parts.db);
    await parts.openings.moveFloor(parts.caller.organizationId);
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([2]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("are called within one limit of their job", async () => {
    await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul", undefined), concurrentCallLimit: 2 });
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(2);
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  });

  test("are called within one limit of their job, whichever sets are offered", async () => {
    const jobId = await runInSets({
      contacts: contactsIn("Asia/Tokyo", "Asia/Tokyo", "Asia/Seoul", "Asia/Seoul"),
      concurrentCallLimit: 3,
    });
    const taker = { workerId: "w", requestId: "", ticket: 0, most: 10, durationMs: 60_000 };
    const offers = [
      { jobId, zoneSet: 1, zoneSets: 3, due: 0, numbers: [1, 2] },
      { jobId, zoneSet: 2, zoneSets: 3, due: 0, numbers: [3, 4] },
    ];
    const { leases, left } = await openLeases(parts.db, parts.caller.organizationId, offers, [taker]);
    expect(numbersOf(leases.flat())).toEqual([1, 2, 3]);
    expect(left).toEqual([[], [4]]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("show it, and those without show none", async () => {
    const jobId = await runInSets({ contacts: contactsIn("asia/tokyo", undefined) });
    const { contacts } = await parts.jobs.listContacts(parts.caller, jobId, [], { size: 10, token: "" });
    expect(contacts.map(({ timezone }) => timezone)).toEqual(["Asia/Tokyo", undefined]);
    const { contact } = await parts.jobs.getContact(parts.caller, jobId, 1);
    expect(contact.timezone).toBe("Asia/Tokyo");
  });

  test("are those of each of thousands, of which the job has some", async () => {
    const zones = Array.from({ length: 2_500 }, (_, i) => ["Asia/Tokyo", undefined, "Asia/Seoul"][i % 3]);
    const all = contactsIn(...zones);
    const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: all.slice(0, 7) }));
    await parts.jobs.addContacts(onJob(parts, batchJobId), all);
    const { rows } = await sql<{ zone_sets: number[] }>`
      select zone_sets from contact_blocks where job_id = ${batchJobId} order by first_number`.execute(
      parts.db,
    );
    const sets = await setsOf(batchJobId);
    const zoneOf = (set: number) => sets.find(({ zone_set: known }) => known === set && set > 0)?.zones[0];
    expect(rows.flatMap((row) => row.zone_sets.map(zoneOf))).toEqual(zones);
  });

  test("are rejected each by itself if it is none", async () => {
    const contacts = contactsIn("Mars/Olympus", "Asia/Tokyo", "+02:00");
    const { batchJobId, rejected } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts }));
    expect(rejected).toMatchObject([
      { index: 0, reason: "invalid_timezone", field: "timezone" },
      { index: 2, reason: "invalid_timezone", field: "timezone" },
    ]);
    expect(await setsOf(batchJobId)).toMatchObject([{ zone_set: 0 }, { zones: ["Asia/Tokyo"], contacts: 1 }]);
  });
});

describe("a set", () => {
  test("that closes first is called first", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul", undefined) });
    await moveOpening(parts, jobId, { fromMs: -1, untilMs: 3 * hour, zoneSet: 0 });
    await moveOpening(parts, jobId, { fromMs: -1, untilMs: 2 * hour, zoneSet: 1 });
    await moveOpening(parts, jobId, { fromMs: -1, untilMs: hour, zoneSet: 2 });
    expect(numbersOf([...(await lease(parts)), ...(await lease(parts)), ...(await lease(parts))])).toEqual([
      2, 1, 3,
    ]);
  });

  test("that has less on its list than is known is made up for by the others", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul") });
    await moveOpening(parts, jobId, { fromMs: -1, untilMs: hour, zoneSet: 1 });
    await parts.redis.del(parts.keys.contacts(keyOf(jobId), 1));
    expect(numbersOf(await lease(parts))).toEqual([2]);
  });

  test("that opens wakes those who wait", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul") });
    for (const zoneSet of [0, 1, 2]) await close(jobId, zoneSet);
    const { from } = await moveOpening(parts, jobId, { fromMs: 400, untilMs: hour, zoneSet: 2 });
    await using leasing = createLeasing({ ...parts, longestSleepMs: 2 * hour });
    const [given] = await lease({ ...parts, leasing }, { waitMs: 30_000, maxContacts: 5 });
    expect(given).toMatchObject({ jobId, number: 2 });
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, 2);
    expect(attempts[0]?.leasedAt.getTime()).toBeGreaterThanOrEqual(from.getTime());
  });

  test("is reckoned by itself once its time is over", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo"), callingHours: notNow() });
    const before = await openingOf(parts, jobId, 1);
    await moveOpening(parts, jobId, { fromMs: -hour, untilMs: 0, zoneSet: 1 });
    await parts.openings.pass();
    expect(await openingOf(parts, jobId, 1)).toEqual(before);
    // Tokyo is nine hours before UTC.
    const inUtc = await openingOf(parts, jobId, 0);
    expect((inUtc.open_from?.getTime() ?? 0) - (before.open_from?.getTime() ?? 0)).toBe(9 * hour);
  });

  test("gives nobody who is in another one, whatever list a number is on", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", undefined) });
    await close(jobId, 1);
    await parts.redis.lpush(parts.keys.contacts(keyOf(jobId)), "1");
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([2]);
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([]);
    await open(jobId, 1);
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([1]);
  });

  test("that closes while its contacts are reserved keeps them, beside another that gives", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul", "Asia/Tokyo") });
    const demand = { workerId: "worker-1", requestId: "", ticket: 0, maxContacts: 5, durationMs: 60_000 };
    const choice = {
      onlyJobIds: [],
      afterJobId: "00000000-0000-0000-0000-000000000000",
      ending: new Map<string, number>(),
    };
    const { organizationId } = parts.caller;
    const prepared = await parts.round.prepare(organizationId, [demand], choice);
    await close(jobId, 1);
    const opened = await openLeases(parts.db, organizationId, prepared.offers, prepared.takersOf([demand]));
    expect(numbersOf(opened.leases.flat())).toEqual([2]);
    expect(opened.left.flat().toSorted()).toEqual([1, 3]);
    prepared.conclude(opened);
    await eventually(async () => expect(await listOf(jobId, 1)).toEqual(["1", "3"]));
    expect(await breaches(parts, [jobId])).toEqual({});
  });
});

describe("a retry", () => {
  test("waits until its set opens, and keeps no other from its own", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul", undefined) });
    await reportAll(parts, await lease(parts, { maxContacts: 3 }), "busy");
    await makeRetriesDue(parts, jobId);
    await close(jobId, 1);
    const again = await lease(parts, { maxContacts: 10 });
    expect(again.map(({ number, attempt }) => [number, attempt]).toSorted()).toEqual([
      [2, 2],
      [3, 2],
    ]);
    expect(await breaches(parts, [jobId])).toEqual({});
    await open(jobId, 1);
    expect(await lease(parts, { maxContacts: 10 })).toMatchObject([{ number: 1, attempt: 2 }]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("that comes due while its set is open wakes those who wait", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo"), retryDelaysMs: [400] });
    await reportAll(parts, await lease(parts), "busy");
    await using leasing = createLeasing({ ...parts, longestSleepMs: 2 * hour });
    expect(await lease({ ...parts, leasing }, { waitMs: 30_000 })).toMatchObject([{ jobId, attempt: 2 }]);
  });

  test("that was leased and released is a retry in its set again", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo") });
    await reportAll(parts, await lease(parts), "busy");
    await makeRetriesDue(parts, jobId);
    const given = await leaseOne(parts);
    expect(await release(parts, [given.leaseId])).toEqual([true]);
    expect(await breaches(parts, [jobId])).toEqual({});
    await close(jobId, 1);
    expect(await lease(parts)).toEqual([]);
    await open(jobId, 1);
    expect(await lease(parts)).toMatchObject([{ number: 1, attempt: 2 }]);
  });

  test("that a late report asks for is in its set", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", undefined) });
    await close(jobId, 0);
    const given = await leaseOne(parts);
    await runOut(parts, [given]);
    expect(await report(parts, [{ leaseId: given.leaseId, outcome: "busy" }])).toMatchObject([
      { kind: "recorded", contactStatus: "waiting_retry" },
    ]);
    expect(await breaches(parts, [jobId])).toEqual({});
    await makeRetriesDue(parts, jobId);
    await open(jobId, 0);
    await close(jobId, 1);
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([2]);
  });
});

describe("a contact of a set", () => {
  test("that is given back is at the head of its list, and pending there", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Tokyo", undefined) });
    await close(jobId, 0);
    const [first] = await lease(parts);
    expect(await report(parts, [{ leaseId: first?.leaseId ?? "", outcome: "not_dialed" }])).toMatchObject([
      { contactStatus: "pending" },
    ]);
    await eventually(async () => expect(await listOf(jobId, 1)).toEqual(["1", "2"]));
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("whose phone is suppressed ends, and with the last one its job", async () => {
    const contacts = contactsIn("Asia/Tokyo", "Asia/Seoul", "Asia/Seoul");
    const jobId = await runInSets({ contacts });
    await parts.db
      .insertInto("suppressed_phones")
      .values(
        contacts.map(({ phone }) => ({
          organization_id: parts.caller.organizationId,
          phone: Number(phone.slice(1)),
          added_at: new Date(),
          reason: "",
        })),
      )
      .execute();
    await sql`update organizations set suppressed_phones = 3 where id = ${parts.caller.organizationId}`.execute(
      parts.db,
    );
    expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
    const job = await parts.jobs.get(parts.caller, jobId);
    expect(job).toMatchObject({ status: "failed", counts: { suppressed: 3, pending: 0 } });
    expect(await breaches(parts, [jobId])).toEqual({});
    await eventually(async () => expect(await parts.redis.exists(...keysOf(jobId))).toBe(0));
  });
});

describe("contacts that are added to a running job", () => {
  test("are in the sets that it has, and in new ones, which open", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo") });
    const added = contactsIn(undefined, "Asia/Seoul", "Asia/Tokyo", "Asia/Seoul", undefined).slice(1);
    await parts.jobs.addContacts(onJob(parts, jobId), added);
    await parts.fanOut.run(keyOf(jobId));
    await reckoned(jobId);
    expect(await listsOf(jobId, 3)).toEqual([["5"], ["1", "3"], ["2", "4"]]);
    expect(await setsOf(jobId)).toMatchObject([
      { zone_set: 0 },
      { zone_set: 1, contacts: 2, pending: 2 },
      { zone_set: 2, contacts: 2, pending: 2 },
    ]);
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(5);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("are in sets though it had none before", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2) });
    const [, , tokyo] = contactsIn(undefined, undefined, "Asia/Tokyo");
    if (tokyo === undefined) throw new Error("there should be three");
    await parts.jobs.addContacts(onJob(parts, jobId), [tokyo]);
    await parts.fanOut.run(keyOf(jobId));
    await reckoned(jobId);
    expect(await listsOf(jobId, 2)).toEqual([["1", "2"], ["3"]]);
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(3);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("are not counted in a set if they are there already", async () => {
    const jobId = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul") });
    await parts.jobs.addContacts(onJob(parts, jobId), contactsIn("Asia/Seoul", "Asia/Dubai", "Asia/Tokyo"));
    expect(await setsOf(jobId)).toMatchObject([
      { zone_set: 0 },
      { zones: ["Asia/Tokyo"], contacts: 2 },
      { zones: ["Asia/Seoul"], contacts: 1 },
      { zones: ["Asia/Dubai"], contacts: 0 },
    ]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });
});

describe("with zones from phones a contact", () => {
  test("is called when all zones that its number can be in allow it, and never in none", async () => {
    const jobId = await runInSets({
      // New York, Paris, a number of several zones, and one of nowhere.
      contacts: withPhones(["+12125550100", "+33123456789", "+12085550100", "+672100000"]),
      zonesFromPhone: true,
    });
    expect(await setsOf(jobId)).toMatchObject([
      { zone_set: 0, zones: [] },
      { zones: ["America/New_York"], is_own: false },
      { zones: ["Europe/Paris"] },
      { zones: ["America/Denver", "America/Los_Angeles"] },
      { zones: [] },
    ]);
    expect((await openingOf(parts, jobId, 4)).open_from).toBeNull();
    expect(numbersOf(await lease(parts, { maxContacts: 10 })).toSorted()).toEqual([1, 2, 3]);
    expect(await breaches(parts, [jobId])).toEqual({});
  });

  test("is in its own zone if it has one", async () => {
    const [own, other] = withPhones(["+12125550100", "+12125550101"]);
    if (own === undefined || other === undefined) throw new Error("there should be two");
    const jobId = await runInSets({
      contacts: [{ ...own, timezone: "America/New_York" }, other],
      zonesFromPhone: true,
    });
    expect(await setsOf(jobId)).toMatchObject([
      { zone_set: 0 },
      { zones: ["America/New_York"], is_own: true },
      { zones: ["America/New_York"], is_own: false },
    ]);
    const { contact } = await parts.jobs.getContact(parts.caller, jobId, 2);
    expect(contact.timezone).toBeUndefined();
  });

  test("is called by the most restrictive of them", async () => {
    const jobId = await runInSets({
      contacts: withPhones(["+12085550100"]),
      zonesFromPhone: true,
      callingHours: { ...notNow(), closeEarlyMs: 120_000 },
    });
    const { open_from: from, open_until: until, call_before: before } = await openingOf(parts, jobId, 1);
    // From ten in Los Angeles, which is an hour later, until noon in Denver.
    expect((before?.getTime() ?? 0) - (from?.getTime() ?? 0)).toBe(hour);
    expect((before?.getTime() ?? 0) - (until?.getTime() ?? 0)).toBe(120_000);
  });
});

describe("the lists of a job", () => {
  const zones = ["Asia/Tokyo", "Asia/Seoul", undefined, "Asia/Tokyo"];

  test("go with it when it is paused, cancelled, deleted or done, and come back when it is resumed", async () => {
    const jobId = await runInSets({ contacts: contactsIn(...zones) });
    const keys = () => parts.redis.exists(...keysOf(jobId));
    expect(await keys()).toBe(4);
    await parts.jobs.pause(onJob(parts, jobId));
    await eventually(async () => expect(await keys()).toBe(0));
    await parts.jobs.resume(onJob(parts, jobId));
    await parts.fanOut.run(keyOf(jobId));
    expect(await listsOf(jobId, 3)).toEqual([["3"], ["1", "4"], ["2"]]);
    await parts.jobs.cancel(onJob(parts, jobId));
    await eventually(async () => expect(await keys()).toBe(0));
    await parts.jobs.delete(onJob(parts, jobId));
    while (await purgeDeletedContacts(parts.db, 1_000));
    expect(await setsOf(jobId)).toEqual([]);
    const ending = await runInSets({ contacts: contactsIn("Asia/Tokyo", "Asia/Seoul") });
    await reportAll(parts, await lease(parts, { maxContacts: 10, jobIds: [ending] }), "completed");
    await eventually(async () => expect(await parts.redis.exists(...keysOf(ending))).toBe(0));
  });

  test("are made again by the sweep, all or one that was lost beside others that are closed", async () => {
    const jobId = await runInSets({ contacts: contactsIn(...zones) });
    for (const zoneSet of [0, 2]) await close(jobId, zoneSet);
    await settle(jobId);
    await parts.redis.del(parts.keys.contacts(keyOf(jobId), 1));
    await parts.sweep.pass();
    await parts.sweep.pass();
    await eventually(async () => expect(await listsOf(jobId, 3)).toEqual([["3"], ["1", "4"], ["2"]]));
    await parts.redis.del(...keysOf(jobId));
    await parts.sweep.pass();
    await eventually(async () => expect(await listsOf(jobId, 3)).toEqual([["3"], ["1", "4"], ["2"]]));
    expect(numbersOf(await lease(parts, { maxContacts: 10 }))).toEqual([1, 4]);
  });

  test("have reservations that nobody settles put back, each on its own", async () => {
    const jobId = await runInSets({ contacts: contactsIn(...zones) });
    const list = { ...keyOf(jobId), zoneSet: 1 };
    await parts.reservations.take([{ list, count: 2 }], parts.clock.now() - 60_000);
    await parts.contactList.look({ ...keyOf(jobId), zoneSets: 3 }, parts.clock.now());
    expect((await listOf(jobId, 1)).toSorted()).toEqual(["1", "4"]);
  });

  test("that are left behind are removed", async () => {
    const jobId = await runInSets({ contacts: contactsIn(...zones) });
    await parts.db.updateTable("batch_jobs").set({ status: "paused" }).where("id", "=", jobId).execute();
    for (let pass = 0; pass < 4; pass += 1) await parts.sweep.pass();
    expect(await parts.redis.exists(...keysOf(jobId))).toBe(0);
  });
});

test("nobody is called out of the hours of a set, over three replicas and a lost Redis, and nobody is lost", async () => {
  const zones = ["Asia/Tokyo", "Asia/Seoul", "Asia/Dubai", undefined];
  const jobId = await runInSets({
    contacts: contactsIn(...Array.from({ length: 400 }, (_, i) => zones[i % 4])),
    concurrentCallLimit: 1_000,
    retryDelaysMs: [0],
  });
  await settle(jobId);
  await parts.redis.del(...keysOf(jobId));
  const openings = new Map<number, { from: Date; until: Date }>();
  for (const zoneSet of [0, 1, 2, 3]) {
    openings.set(
      zoneSet,
      await moveOpening(parts, jobId, {
        fromMs: 300 + zoneSet * 500,
        untilMs: 1_300 + zoneSet * 500,
        zoneSet,
      }),
    );
  }
  await parts.sweep.pass();
  const endsMs = Math.max(...[...openings.values()].map(({ until }) => until.getTime()));
  await using stack = new AsyncDisposableStack();
  const replicas = Array.from({ length: 3 }, () => stack.use(createLeasing({ ...parts })));
  await Promise.all(
    replicas.map(async (leasing) => {
      while (parts.clock.now() < endsMs + 300) {
        const leases = await lease({ ...parts, leasing }, { waitMs: 100, maxContacts: 7 });
        await report(
          { ...parts, leasing },
          leases.map(({ leaseId, attempt }) => ({ leaseId, outcome: attempt === 1 ? "busy" : "failed" })),
        );
      }
    }),
  );
  const { rows } = await sql<{ number: number; leasedAt: Date; zoneSet: number }>`
    select a.number, a.leased_at as "leasedAt", (a.number % 4) as "zoneSet" from all_attempts a
    where a.job_id = ${jobId}`.execute(parts.db);
  const outside = rows.filter(({ leasedAt, zoneSet }) => {
    const { from, until } = openings.get(zoneSet) ?? { from: new Date(0), until: new Date(0) };
    return leasedAt < from || leasedAt >= until;
  });
  expect(outside).toEqual([]);
  expect(rows.length).toBeGreaterThan(0);
  expect(await breaches(parts, [jobId])).toEqual({});
  for (const zoneSet of [0, 1, 2, 3]) await open(jobId, zoneSet);
  for (;;) {
    const rest = await lease(parts, { maxContacts: 100, waitMs: 300 });
    if (rest.length === 0) break;
    await reportAll(parts, rest, "completed");
  }
  const job = await parts.jobs.get(parts.caller, jobId);
  expect(job.counts).toMatchObject({ pending: 0, waiting_retry: 0, dialing: 0 });
  expect(job.finishedAt).toBeInstanceOf(Date);
  expect(await breaches(parts, [jobId])).toEqual({});
});
