import { randomBytes, randomUUID } from "node:crypto";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Caller } from "../../src/domain/caller.ts";
import type { AttemptEnded } from "../../src/domain/event.ts";
import type { EventQuery } from "../../src/events/event-log.ts";
import { insertApiKey } from "../../src/postgres/api-keys.ts";
import { dropOldEvents, organizationsWithOldEvents, writeEvents } from "../../src/postgres/events/events.ts";
import { deleteOldJobs } from "../../src/postgres/jobs/sweep.ts";
import { purgeDeletedContacts } from "../../src/postgres/contacts/purging.ts";
import { leaseOne, lease, makeRetriesDue, report, runJob, runOut } from "../leasing/leases.ts";
import { aNewJob, makeContacts, makeJob, onJob } from "../support/make.ts";
import { eventually } from "../support/eventually.ts";
import { differencesFromLog, readLog } from "../support/log-fold.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";
import { suppress } from "../support/suppress.ts";

let all: Parts;
let parts: Parts;
beforeAll(async () => {
  all = await startParts();
});
afterAll(() => all[Symbol.asyncDispose]());

const fresh = async () => (parts = await forNewOrganization(all));
const logOf = () => readLog(parts.db, parts.caller.organizationId);
const asLogged = async () =>
  expect(await differencesFromLog(parts.db, parts.caller.organizationId)).toEqual([]);

const list = (query: Partial<EventQuery> & { pageSize?: number } = {}, caller: Caller = parts.caller) =>
  parts.eventLog
    .list(caller, { afterSequence: 0, types: [], batchJobIds: [], pageSize: 0, ...query })
    .then((page) => ({ ...page, events: page.events.map((event) => ({ ...event, bytes: 0 })) }));

const sequencesOf = async () => (await logOf()).map(({ sequence }) => sequence);
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

describe("an attempt", () => {
  test("that is reported is an event by itself, and has the next number", async () => {
    await fresh();
    const batchJobId = await runJob(parts, { contacts: makeContacts(2) });
    const { leaseId } = await leaseOne(parts);
    const details = { errorCode: "486", failureReason: "rude", callDurationMs: 1_500, providerCallId: "c1" };
    await report(parts, [{ leaseId, outcome: "busy", details }]);
    const event = (await logOf()).at(-1);
    expect(event).toMatchObject({
      type: "contact.attempt_ended",
      actor: "worker",
      batchJobId,
      number: 1,
      data: {
        attempt: 1,
        outcome: "busy",
        status: "waiting_retry",
        errorCode: "486",
        callDurationMs: 1_500,
        providerCallId: "c1",
        workerId: "worker-1",
      },
    });
    expect(JSON.stringify(event)).not.toContain("rude");
    const { rows } = await sql`
      select from events where organization_id = ${parts.caller.organizationId} and number is not null
    `.execute(parts.db);
    expect(rows).toEqual([]);
    await asLogged();
  });

  test("whose lease ran out is told, and again when it is reported late; the first stays what it was", async () => {
    await fresh();
    await runJob(parts, { contacts: makeContacts(1) });
    const one = await leaseOne(parts);
    await runOut(parts, [one]);
    const before = await logOf();
    expect(before.slice(-2)).toMatchObject([
      {
        type: "contact.attempt_ended",
        actor: "lease_expiry",
        data: { outcome: "unknown", status: "unknown" },
      },
      { type: "batch_job.failed", actor: "lease_expiry", data: { failureReason: "no_call_completed" } },
    ]);
    await report(parts, [{ leaseId: one.leaseId, outcome: "completed" }]);
    const after = await logOf();
    expect(after.slice(0, before.length)).toEqual(before);
    expect(after.slice(before.length)).toMatchObject([
      { type: "contact.attempt_ended", actor: "worker", data: { outcome: "completed", status: "completed" } },
      { type: "batch_job.completed", actor: "worker", data: { counts: { completed: 1, total: 1 } } },
    ]);
    expect(await sequencesOf()).toEqual(upTo(after.length));
    await asLogged();
  });

  test("that the settings allow no other after is told as the last", async () => {
    await fresh();
    const batchJobId = await runJob(parts, { contacts: makeContacts(2), maxAttempts: 3, retryOn: ["busy"] });
    const leases = await lease(parts, { maxContacts: 2 });
    await report(
      parts,
      leases.map(({ leaseId }) => ({ leaseId, outcome: "busy" as const })),
    );
    const before = await logOf();
    await parts.jobs.update(onJob(parts, batchJobId), { maxAttempts: 1 });
    const after = await logOf();
    expect(after.slice(0, before.length)).toEqual(before);
    const judged = {
      type: "contact.attempt_ended",
      actor: "api_key",
      data: { status: "busy", nextAttemptAt: null },
    };
    expect(after.slice(before.length)).toMatchObject([
      { type: "batch_job.updated" },
      { ...judged, number: 1 },
      { ...judged, number: 2 },
      { type: "batch_job.failed", actor: "api_key" },
    ]);
    await asLogged();
  });
});

test("a contact that ends as suppressed is told, and what a late report makes of it", async () => {
  await fresh();
  const contacts = makeContacts(2);
  const batchJobId = await runJob(parts, { contacts, retryOn: ["unknown"], retryDelaysMs: [0] });
  const leases = await lease(parts, { maxContacts: 2 });
  const [first] = leases;
  await runOut(parts, leases);
  await makeRetriesDue(parts, batchJobId);
  await suppress(
    parts,
    contacts.map(({ phone }) => phone),
  );
  expect(await lease(parts, { maxContacts: 2 })).toEqual([]);
  expect((await logOf()).slice(-3)).toMatchObject([
    { type: "contact.suppressed", actor: "service", number: 1, data: { attempts: 1 } },
    { type: "contact.suppressed", actor: "service", number: 2, data: { attempts: 1 } },
    { type: "batch_job.failed", actor: "service", revision: 3 },
  ]);
  await asLogged();
  const before = await logOf();
  await report(parts, [{ leaseId: first?.leaseId ?? "", outcome: "completed" }]);
  expect((await logOf()).slice(0, before.length)).toEqual(before);
  expect((await logOf()).slice(before.length)).toMatchObject([
    { type: "contact.attempt_ended", number: first?.number, data: { status: "completed" } },
    { type: "batch_job.completed" },
  ]);
  await asLogged();
});

test("a start whose time came is told of each job, in the log of its organization", async () => {
  await fresh();
  const here = parts;
  await fresh();
  const owners = [here, parts, here, parts, here];
  const jobs = [];
  for (const [i, owner] of owners.entries()) {
    jobs.push(await makeJob(owner, { status: "scheduled", dueInMs: -1_000, contacts: i === 4 ? 0 : 2 }));
  }
  await parts.startDue(jobs.map(({ scheduled_job_id: id }) => id ?? ""));
  const started = { type: "batch_job.started", actor: "scheduler", revision: 2 };
  const ended = { type: "batch_job.failed", actor: "scheduler", data: { failureReason: "no_contacts" } };
  for (const [owner, events] of [
    [here, [started, started, ended]],
    [parts, [started, started]],
  ] as const) {
    const told = (await readLog(owner.db, owner.caller.organizationId)).filter(
      ({ type }) => type !== "organization.created",
    );
    expect(told.toSorted((a, b) => (a.type < b.type ? 1 : -1))).toMatchObject(events);
  }
});

test("a deleted job takes the events of its contacts along, and leaves its own", async () => {
  await fresh();
  const batchJobId = await runJob(parts, { contacts: makeContacts(2), retryOn: [] });
  const leases = await lease(parts, { maxContacts: 2 });
  await runOut(parts, leases);
  await report(parts, [{ leaseId: leases[0]?.leaseId ?? "", outcome: "completed" }]);
  await parts.jobs.delete(onJob(parts, batchJobId));
  while (await purgeDeletedContacts(parts.db, 10));
  const log = await logOf();
  expect(log.filter(({ number }) => number !== null)).toEqual([]);
  expect(log.at(-1)).toMatchObject({
    type: "batch_job.deleted",
    actor: "api_key",
    data: { statusBefore: "completed", counts: { total: 2, completed: 1, unknown: 1 } },
  });
  expect(await list()).toMatchObject({ lastSequence: log.at(-1)?.sequence });
});

test("jobs that are deleted since they are old are told", async () => {
  await fresh();
  const { id } = await makeJob(parts, { status: "completed" });
  await sql`update batch_jobs set finished_at = finished_at - interval '3 days' where id = ${id}`.execute(
    parts.db,
  );
  expect(await deleteOldJobs(parts.db, parts.caller.organizationId, 1, 10)).toBe(1);
  expect((await logOf()).at(-1)).toMatchObject({
    type: "batch_job.deleted",
    actor: "service",
    batchJobId: id,
    data: { statusBefore: "completed", counts: { completed: 3 } },
  });
});

describe("ListEvents", () => {
  test("pages through both kinds in order, by type and by job", async () => {
    await fresh();
    const ids = [
      await runJob(parts, { contacts: makeContacts(3) }),
      await runJob(parts, { contacts: makeContacts(3) }),
    ];
    for (let i = 0; i < 6; i += 1) {
      const { leaseId } = await leaseOne(parts);
      await report(parts, [{ leaseId, outcome: "completed" }]);
    }
    const log = await logOf();
    const paged = [];
    for (let after = 0; ;) {
      const page = await list({ afterSequence: after, pageSize: 2 });
      paged.push(...page.events);
      after = page.lastSequence;
      if (after === page.head.sequence) break;
    }
    expect(paged).toEqual(log);
    for (const batchJobId of ids) {
      const own = await list({ batchJobIds: [batchJobId.toUpperCase()] });
      expect(own.events).toEqual(log.filter((event) => event.batchJobId === batchJobId));
      expect(own.lastSequence).toBe(own.head.sequence);
    }
    const ended = await list({ types: ["contact.attempt_ended"], pageSize: 4 });
    expect(ended.events).toEqual(log.filter(({ type }) => type === "contact.attempt_ended").slice(0, 4));
    expect((await list({ types: ["batch_job.completed"] })).events).toHaveLength(2);
    expect((await list({ batchJobIds: [randomUUID(), "no id"] })).events).toEqual([]);
  });

  test("tells who did it by id and name, and of keys to admins alone", async () => {
    await fresh();
    const { organizationId } = parts.caller;
    const hash = randomBytes(32);
    await insertApiKey(parts.db, { organizationId, name: "nightly", role: "admin", hash, expiresAt: null });
    const { id } = await parts.db
      .selectFrom("api_keys")
      .select("id")
      .where("hash", "=", hash)
      .executeTakeFirstOrThrow();
    const asKey = { ...parts, caller: { ...parts.caller, apiKeyId: id } };
    const batchJobId = await runJob(asKey, { contacts: makeContacts(1) });
    const [created] = (await list({ batchJobIds: [batchJobId] })).events;
    expect(created).toMatchObject({ actor: "api_key", apiKeyId: id, apiKeyName: "nightly" });
    expect((await list({ types: ["api_key.created"] })).events.at(-1)).toMatchObject({
      data: { apiKeyId: id },
    });
    const viewer: Caller = { ...parts.caller, role: "viewer" };
    const seen = (await list({}, viewer)).events.map(({ type }) => type);
    expect(seen).toContain("batch_job.created");
    expect(seen).not.toContain("api_key.created");
    expect(await refusal(list({ types: ["api_key.created"] }, viewer))).toMatchObject({
      reason: "permission_denied",
    });
  });

  test("refuses a type that there is not, and a number beyond the end", async () => {
    await fresh();
    expect(await refusal(list({ types: ["batch_job.exploded"] }))).toMatchObject({
      reason: "invalid_argument",
      metadata: { field: "types[0]" },
    });
    const { head } = await list();
    expect((await list({ afterSequence: head.sequence })).events).toEqual([]);
    for (const afterSequence of [head.sequence + 1, Number(2n ** 63n - 1n)]) {
      expect(await refusal(list({ afterSequence }))).toMatchObject({
        reason: "invalid_argument",
        metadata: { field: "after_sequence", headSequence: String(head.sequence) },
      });
    }
  });

  test("refuses what comes after an event that is no longer kept, and begins with the first that is", async () => {
    await fresh();
    const { organizationId } = parts.caller;
    await runJob(parts, { contacts: makeContacts(3) });
    const leases = await lease(parts, { maxContacts: 2 });
    await report(
      parts,
      leases.map(({ leaseId }) => ({ leaseId, outcome: "completed" as const })),
    );
    const old = await logOf();
    await sql`update events set occurred_at = occurred_at - interval '3 days' where organization_id = ${organizationId}`.execute(
      parts.db,
    );
    await sql`update attempts set ended_at = ended_at - interval '3 days' where organization_id = ${organizationId} and number = ${leases[0]?.number}`.execute(
      parts.db,
    );
    expect(await organizationsWithOldEvents(parts.db, 2, 1_000)).toContain(organizationId);
    expect(await dropOldEvents(parts.db, organizationId, 2, 2)).toBe(2);
    while ((await dropOldEvents(parts.db, organizationId, 2, 2)) > 0);
    expect(await organizationsWithOldEvents(parts.db, 2, 1_000)).not.toContain(organizationId);
    const { events, head } = await list();
    expect(events).toMatchObject([{ sequence: old.length, type: "contact.attempt_ended" }]);
    expect(head).toEqual({ sequence: old.length, firstSequence: old.length });
    expect((await list({ afterSequence: old.length - 1 })).events).toEqual(events);
    expect(await refusal(list({ afterSequence: old.length - 2 }))).toMatchObject({
      reason: "cursor_expired",
      metadata: { firstSequence: String(old.length) },
    });
  });

  test("answers no more than a client takes", async () => {
    await fresh();
    const { organizationId } = parts.caller;
    const data = { changed: ["callingHours"], before: {}, after: { callingHours: "x".repeat(100_000) } };
    const event = { type: "batch_job.updated", actor: "service", requestId: "", data } as const;
    for (let i = 0; i < 3; i += 1) {
      await parts.db.transaction().execute((trx) =>
        writeEvents(
          trx,
          organizationId,
          Array.from({ length: 10 }, () => event),
        ),
      );
    }
    const page = await list({ types: ["batch_job.updated"], pageSize: 1_000 });
    expect(page.events.length).toBeGreaterThan(10);
    expect(page.events.length).toBeLessThan(22);
    expect(page.lastSequence).toBe(page.events.at(-1)?.sequence);
  });
});

/** The numbers of a log in the order of their commits, as a reader sees them that keeps its place. */
async function followed(work: Promise<unknown>): Promise<number[]> {
  let isOver = false;
  void work.finally(() => (isOver = true));
  const seen: number[] = [];
  for (let after = 0; ;) {
    const wasOver = isOver;
    const page = await list({ afterSequence: after, pageSize: 1_000 });
    seen.push(...page.events.map(({ sequence }) => sequence));
    after = page.lastSequence;
    if (wasOver && page.events.length === 0) return seen;
  }
}

/** Makes jobs, has some commands refused, and cancels what it made. */
async function command(i: number): Promise<void> {
  for (let n = 0; n < 20; n += 1) {
    const { batchJobId } = await parts.jobs.create(onJob(parts, ""), {
      ...aNewJob({ contacts: i % 2 === 0 ? [] : makeContacts(2) }),
    });
    await refusal(parts.jobs.resume(onJob(parts, batchJobId)));
    await parts.jobs.cancel(onJob(parts, batchJobId));
  }
}

describe("the numbers of a log", () => {
  test("have no gaps whatever is rolled back, and are seen in order by a reader that keeps its place", async () => {
    await fresh();
    const seen = await followed(Promise.all([0, 1, 2, 3, 4, 5].map(command)));
    const { head } = await list();
    expect(seen).toEqual(upTo(head.sequence));
    await asLogged();
  });

  /** What the mechanism is for: a number that is taken before the locks, as by a sequence of Postgres. */
  test("that are drawn before the locks are missed by such a reader", async () => {
    await fresh();
    const { organizationId } = parts.caller;
    await sql`create sequence early`.execute(parts.db);
    const begun = Promise.withResolvers<void>();
    const mayCommit = Promise.withResolvers<void>();
    const write = (sequence: number) => sql`
      insert into events (organization_id, sequence, occurred_at, actor, type, request_id)
      values (${organizationId}, ${1_000_000 + sequence}, clock_timestamp(), 'service', 'organization.updated', '')`;
    const draw = async () => {
      const { rows } = await sql<{ n: number }>`select nextval('early') as n`.execute(parts.db);
      return rows[0]?.n ?? 0;
    };
    const slow = parts.db.transaction().execute(async (trx) => {
      await write(await draw()).execute(trx);
      begun.resolve();
      await mayCommit.promise;
    });
    await begun.promise;
    await write(await draw()).execute(parts.db);
    const { rows: first } = await sql<{ last: number }>`
      select max(sequence) as last from events where organization_id = ${organizationId}`.execute(parts.db);
    mayCommit.resolve();
    await slow;
    const { rows: missed } = await sql`
      select from events where organization_id = ${organizationId} and sequence > ${first[0]?.last}`.execute(
      parts.db,
    );
    expect(first[0]?.last).toBe(1_000_002);
    expect(missed).toEqual([]);
    const { rows: there } = await sql`
      select from events where organization_id = ${organizationId} and sequence = 1000001`.execute(parts.db);
    expect(there).toHaveLength(1);
  });

  test("wait for whoever has the head, and go on then", async () => {
    await fresh();
    const batchJobId = await runJob(parts, { contacts: makeContacts(2) });
    const { leaseId } = await leaseOne(parts);
    const waiting = async () => {
      const { rows } = await sql`
        select from pg_locks where not granted and pid <> pg_backend_pid()
          and pid in (select pid from pg_stat_activity where datname = current_database())`.execute(parts.db);
      expect(rows).not.toEqual([]);
    };
    const { reporting } = await parts.db.transaction().execute(async (trx) => {
      await sql`
        update event_heads set sequence = sequence where organization_id = ${parts.caller.organizationId}`.execute(
        trx,
      );
      const work = Promise.all([
        parts.jobs.pause(onJob(parts, batchJobId)),
        report(parts, [{ leaseId, outcome: "completed" }]),
      ]);
      await eventually(waiting);
      return { reporting: work };
    });
    expect((await reporting)[1]).toMatchObject([{ kind: "recorded" }]);
    await asLogged();
  });
});

const anAttempt = (event: { data: unknown } | undefined) => event?.data as AttemptEnded;
test("an event of an attempt says when it was leased, and when it ended", async () => {
  await fresh();
  await runJob(parts, { contacts: makeContacts(1) });
  const { leaseId } = await leaseOne(parts);
  await report(parts, [{ leaseId, outcome: "completed" }]);
  const { events } = await list({ types: ["contact.attempt_ended"] });
  const { leasedAt, endedAt, reportedAt } = anAttempt(events[0]);
  expect(reportedAt).toBe(endedAt);
  expect(Date.parse(leasedAt)).toBeLessThanOrEqual(Date.parse(endedAt));
  expect(events[0]?.occurredAt.getTime()).toBe(Date.parse(endedAt));
});
