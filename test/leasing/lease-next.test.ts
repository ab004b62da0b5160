import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, inject, test } from "vitest";
import { createLeaseRound } from "../../src/leasing/lease-round.ts";
import { createLeasing } from "../../src/leasing/leasing.ts";
import { functions } from "../../src/postgres/functions/functions.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization, onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { startProxy } from "../support/servers/proxy.ts";
import {
  expectAllLive,
  lease,
  leaseOne,
  limitOrganization,
  makeRetriesDue,
  report,
  reportAll,
  reportAndLease,
  runJob,
} from "./leases.ts";

let parts: Parts;
/** Another replica, which cannot reach Redis. */
let away: Parts;
onTwoReplicasInNewOrganizations((here, there) => {
  parts = here;
  away = there;
  away.redis.disconnect();
});

const jobOf = (jobId: string) => parts.jobs.get(parts.caller, jobId);
const numbersOf = (leases: readonly { number: number }[]) => leases.map(({ number }) => number);
const completed = (leases: readonly { leaseId: string }[]) =>
  leases.map(({ leaseId }) => ({ leaseId, outcome: "completed" as const }));

/** The transactions that wrote what there is now of these tables for a job. */
async function transactionsOf(jobId: string, tables: readonly ("leases" | "attempts")[]): Promise<string[]> {
  const rows = await Promise.all(
    tables.map((table) =>
      parts.db
        .selectFrom(table)
        .select(sql<string>`xmin::text`.as("xid"))
        .distinct()
        .where("job_id", "=", jobId)
        .execute(),
    ),
  );
  return [...new Set(rows.flat().map(({ xid }) => xid))];
}

/** Locks the organization until it is told to let go. */
async function lockOrganization() {
  const locked = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const ended = parts.db.transaction().execute(async (trx) => {
    await sql`select from organizations where id = ${parts.caller.organizationId} for update`.execute(trx);
    locked.resolve();
    await letGo.promise;
  });
  await locked.promise;
  return async () => {
    letGo.resolve();
    await ended;
  };
}

/** Until so many statements of this database wait for a lock. */
const untilWaiting = (count: number) =>
  eventually(async () => {
    const { rows } = await sql`
      select pid from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock' and state = 'active'`.execute(parts.db);
    expect(rows).toHaveLength(count);
  });

/** A replica whose Redis never says what it has reserved. */
function neverReserving(): Parts {
  const { shares, clock, logger, recorder } = parts;
  const reservations = { ...parts.reservations, take: () => new Promise<never>(() => {}) };
  const round = createLeaseRound({ shares, reservations, clock, logger });
  const leasing = createLeasing({ shares, round, recorder, clock, logger });
  return { ...parts, leasing };
}

describe("a report that asks for the next contacts", () => {
  test("works a job to its end, a call for each contact", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4), retryOn: [] });
    const given = [await leaseOne(parts)];
    for (const number of [2, 3, 4]) {
      const { results, leases } = await reportAndLease(parts, completed(given.slice(-1)));
      expect(results).toMatchObject([{ kind: "recorded", contactStatus: "completed" }]);
      expect(leases).toMatchObject([{ jobId, number, attempt: 1 }]);
      given.push(...leases);
      await expectAllLive(parts, leases);
    }
    expect(await reportAndLease(parts, completed(given.slice(-1)))).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [],
    });
    expect(await jobOf(jobId)).toMatchObject({ status: "completed", counts: { completed: 4 } });
  });

  test("ends the one and opens the other in one transaction", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(2) });
    await reportAndLease(parts, completed([await leaseOne(parts)]));
    expect(await transactionsOf(jobId, ["leases", "attempts"])).toHaveLength(1);
  });

  test("is given the room that it makes, under both limits, and no more", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(10), concurrentCallLimit: 3 });
    const first = await lease(parts, { maxContacts: 10 });
    expect(first).toHaveLength(3);
    const { leases } = await reportAndLease(parts, completed(first.slice(0, 2)), { maxContacts: 10 });
    expect(numbersOf(leases)).toEqual([4, 5]);
    expect(await jobOf(jobId)).toMatchObject({ counts: { dialing: 3, completed: 2 } });

    await limitOrganization(parts, 2);
    const [one] = leases;
    const answer = await reportAndLease(parts, completed(one === undefined ? [] : [one]), {
      maxContacts: 10,
    });
    expect(answer).toMatchObject({ results: [{ kind: "recorded" }], leases: [] });
    const { leases: next } = await reportAndLease(parts, completed([...first.slice(2), ...leases.slice(1)]), {
      maxContacts: 10,
    });
    expect(numbersOf(next)).toEqual([6, 7]);
  });

  test("is given a retry that is due before what was never called", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const [first, second] = await lease(parts, { maxContacts: 2 });
    await reportAll(parts, first === undefined ? [] : [first], "busy");
    await makeRetriesDue(parts, jobId);
    const { leases } = await reportAndLease(parts, completed(second === undefined ? [] : [second]));
    expect(leases).toMatchObject([{ number: 1, attempt: 2 }]);
  });

  test("is recorded, and given nothing, where only unknown jobs are asked for", async () => {
    await runJob(parts, { contacts: makeContacts(2) });
    const given = completed([await leaseOne(parts)]);
    expect(await reportAndLease(parts, given, { jobIds: ["job"] })).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [],
    });
  });

  test.each(["pause", "cancel"] as const)("is recorded, and given nothing, after %s", async (command) => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const given = await leaseOne(parts);
    await parts.jobs[command](onJob(parts, jobId));
    expect(await reportAndLease(parts, completed([given]))).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [],
    });
    expect(await jobOf(jobId)).toMatchObject({ counts: { completed: 1, dialing: 0 } });
  });

  test("ends no lease of another organization, and makes no room there", async () => {
    const stranger = await forNewOrganization(parts);
    const theirs = await runJob(stranger, { contacts: makeContacts(2), concurrentCallLimit: 1 });
    const held = await lease(stranger);
    await runJob(parts, { contacts: makeContacts(2) });
    const { results, leases } = await reportAndLease(parts, completed(held), { maxContacts: 10 });
    expect(results).toEqual([{ kind: "gone" }]);
    expect(leases).toHaveLength(2);
    expect(leases.map(({ jobId }) => jobId)).not.toContain(theirs);
    await expectAllLive(stranger, held);
  });

  test("answers each report as without it", async () => {
    await runJob(parts, { contacts: makeContacts(4) });
    const [first, second] = await lease(parts, { maxContacts: 2 });
    await reportAll(parts, first === undefined ? [] : [first], "busy");
    const reports = [first, second, second].flatMap((given) => completed(given === undefined ? [] : [given]));
    const { results, leases } = await reportAndLease(parts, [
      ...reports,
      ...completed([{ leaseId: "none" }]),
    ]);
    expect(results).toMatchObject([
      { kind: "already_recorded", outcome: "busy" },
      { kind: "recorded", outcome: "completed" },
      { kind: "already_recorded", outcome: "completed" },
      { kind: "gone" },
    ]);
    expect(numbersOf(leases)).toEqual([3]);
  });

  test("leaves nothing leased if its caller has gone, and what it reported stays", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(3) });
    const given = await leaseOne(parts);
    const letGo = await lockOrganization();
    const gone = new AbortController();
    const call = reportAndLease(parts, completed([given]), { signal: gone.signal });
    await untilWaiting(1);
    gone.abort();
    await letGo();
    expect(await call).toMatchObject({ results: [{ kind: "recorded" }], leases: [] });
    await eventually(async () =>
      expect(await jobOf(jobId)).toMatchObject({
        counts: { completed: 1, dialing: 0, pending: 2 },
      }),
    );
  });

  test("is recorded when nothing can be leased for a fault", async () => {
    await using broken = await startParts();
    // One is leased, one is reserved in vain, and one could be leased with the report.
    const jobId = await runJob(broken, { contacts: makeContacts(3) });
    const given = await leaseOne(broken);
    const { rows } = await sql<{ signature: string }>`
      select oid::regprocedure::text as signature from pg_proc where proname = ${functions.openLeases.name}`.execute(
      broken.db,
    );
    await sql`drop function ${sql.raw(rows[0]?.signature ?? "")}`.execute(broken.db);
    await expect(lease(broken)).rejects.toThrow(/open_leases/);
    expect(await reportAndLease(broken, completed([given]))).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [],
    });
    expect(await broken.jobs.get(broken.caller, jobId)).toMatchObject({ counts: { completed: 1 } });
  });
});

describe("under a request id", () => {
  const requestId = randomUUID();

  test("a repeat changes nothing of what was recorded, and takes over what was leased", async () => {
    await runJob(parts, { contacts: makeContacts(4) });
    const given = await leaseOne(parts);
    const first = await reportAndLease(parts, completed([given]), { requestId, maxContacts: 2 });
    expect(first.results).toMatchObject([{ kind: "recorded" }]);
    const again = await reportAndLease(parts, completed([given]), { requestId, maxContacts: 2 });
    expect(again.results).toMatchObject([{ kind: "already_recorded", outcome: "completed" }]);
    expect(numbersOf(again.leases)).toEqual(numbersOf(first.leases));
    expect(again.leases).not.toEqual(first.leases);
    expect(await reportAll(parts, first.leases, "completed")).toMatchObject([
      { kind: "gone" },
      { kind: "gone" },
    ]);
    await expectAllLive(parts, again.leases);
  });

  test("of an organization that may lease no more takes over what was leased, and leases nothing else", async () => {
    await runJob(parts, { contacts: makeContacts(4) });
    const given = completed([await leaseOne(parts)]);
    const mine = randomUUID();
    const { leases } = await reportAndLease(parts, given, { requestId: mine });
    expect(numbersOf(leases)).toEqual([2]);
    const again = await reportAndLease(parts, given, { requestId: mine, isLimited: true });
    expect(again).toMatchObject({ results: [{ kind: "already_recorded" }], leases: [{ number: 2 }] });
    await expectAllLive(parts, again.leases);
    const ended = completed(again.leases);
    const nothing = { results: [{ kind: "recorded" }], leases: [] };
    expect(await reportAndLease(parts, ended, { isLimited: true })).toMatchObject(nothing);
    // The id has been taken by then, and leases when it may.
    const other = randomUUID();
    expect((await reportAndLease(parts, [], { requestId: other, isLimited: true })).leases).toEqual([]);
    expect((await reportAndLease(parts, [], { requestId: other, isLimited: true })).leases).toEqual([]);
    expect(numbersOf((await reportAndLease(parts, [], { requestId: other })).leases)).toEqual([3]);
  });

  test("LeaseContacts takes over what a report has leased, and the other way round", async () => {
    await runJob(parts, { contacts: makeContacts(4) });
    const first = await leaseOne(parts);
    const { leases: second } = await reportAndLease(parts, completed([first]), { requestId });
    const third = await lease(parts, { requestId });
    expect(numbersOf(third)).toEqual(numbersOf(second));
    const fourth = await reportAndLease(parts, completed([first]), { requestId });
    expect(numbersOf(fourth.leases)).toEqual(numbersOf(second));
    await expectAllLive(parts, fourth.leases);
  });

  test("others are leased if what it had ends by its own reports", async () => {
    await runJob(parts, { contacts: makeContacts(4) });
    const first = await lease(parts, { requestId, maxContacts: 2 });
    const { results, leases } = await reportAndLease(parts, completed(first), { requestId, maxContacts: 2 });
    expect(results).toMatchObject([{ kind: "recorded" }, { kind: "recorded" }]);
    expect(numbersOf(leases)).toEqual([3, 4]);
  });

  test("of a call and its repeat at once one has the leases, and both are told of the report", async () => {
    await runJob(parts, { contacts: makeContacts(4) });
    const given = await leaseOne(parts);
    const letGo = await lockOrganization();
    const calls = [1, 2].map(() => reportAndLease(parts, completed([given]), { requestId, maxContacts: 2 }));
    await untilWaiting(1);
    await letGo();
    const answers = await Promise.all(calls);
    expect(answers.map(({ results }) => results[0]?.kind).toSorted()).toEqual([
      "already_recorded",
      "recorded",
    ]);
    const held = answers.filter(({ leases }) => leases.length > 0);
    await eventually(() => expectAllLive(parts, held.at(-1)?.leases ?? []));
    expect(held).toHaveLength(1);
  });
});

describe("calls that wait at the same time", () => {
  test("have one turn and one commit, whether they report, lease, or both", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(40), concurrentCallLimit: 100 });
    const held = await lease(parts, { maxContacts: 12 });
    const letGo = await lockOrganization();
    const before = report(parts, completed(held.slice(0, 1)));
    await untilWaiting(1);
    const others = [
      ...held.slice(1, 6).map((given) => reportAndLease(parts, completed([given]))),
      ...held.slice(6, 12).map(async (given) => ({
        results: await report(parts, completed([given])),
        leases: [],
      })),
      ...[1, 2, 3].map(async () => ({ results: [], leases: await lease(parts) })),
    ];
    await letGo();
    await before;
    const answers = await Promise.all(others);
    expect(answers.flatMap(({ results }) => results)).toHaveLength(11);
    expect(answers.flatMap(({ leases }) => leases)).toHaveLength(8);
    // The first report had one, and all that came while it waited have the other.
    expect(await transactionsOf(jobId, ["attempts"])).toHaveLength(2);
    expect(await transactionsOf(jobId, ["leases", "attempts"])).toHaveLength(2);
  });

  test("have one turn though they want contacts of different jobs", async () => {
    const jobs = [
      await runJob(parts, { contacts: makeContacts(4) }),
      await runJob(parts, { contacts: makeContacts(4) }),
    ];
    const [mine, yours] = await Promise.all(jobs.map((jobId) => leaseOne(parts, { jobIds: [jobId] })));
    const letGo = await lockOrganization();
    const before = report(parts, completed([{ leaseId: "none" }]));
    await untilWaiting(1);
    const calls = [mine, yours].map((given, i) =>
      reportAndLease(parts, given === undefined ? [] : completed([given]), { jobIds: jobs.slice(i, i + 1) }),
    );
    await letGo();
    await before;
    const answers = await Promise.all(calls);
    expect(answers.map(({ leases }) => leases.map(({ jobId }) => jobId))).toEqual(jobs.map((id) => [id]));
    const xids = await Promise.all(jobs.map((jobId) => transactionsOf(jobId, ["leases", "attempts"])));
    expect(new Set(xids.flat()).size).toBe(1);
  });
});

describe("without Redis", () => {
  test("reports are recorded, retries that are due are leased, and nothing else", async () => {
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const [first, second, third] = await lease(parts, { maxContacts: 3 });
    const of = (given: typeof first) => (given === undefined ? [] : [given]);
    await reportAll(parts, of(first), "busy");
    expect(await reportAndLease(away, completed(of(second)))).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [],
    });
    await makeRetriesDue(parts, jobId);
    expect(await reportAndLease(away, completed(of(third)))).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [{ number: 1, attempt: 2 }],
    });
  });

  test("that never answers no report waits, and whoever waits for contacts waits on", async () => {
    const cutOff = neverReserving();
    await runJob(parts, { contacts: makeContacts(4) });
    const given = await leaseOne(parts);
    const over = new AbortController();
    const waiting = lease(cutOff, { waitMs: 60_000, signal: over.signal });
    expect(await reportAndLease(cutOff, completed([given]))).toMatchObject({
      results: [{ kind: "recorded" }],
      leases: [],
    });
    const first = await Promise.race([waiting, report(cutOff, completed([given]))]);
    expect(first).toMatchObject([{ kind: "already_recorded" }]);
    over.abort();
    expect(await waiting).toEqual([]);
  });

  // A proxy stands before one server.
  const isOneServer = !inject("redisUrl").includes(",");
  test.runIf(isOneServer)("that hangs for a while nothing is lost (one server)", async () => {
    await using proxy = await startProxy(inject("redisUrl"));
    await using hanging = await startParts({ beside: parts, redisUrl: proxy.url });
    const cutOff = { ...hanging, caller: parts.caller };
    const jobId = await runJob(parts, { contacts: makeContacts(4) });
    const given = await leaseOne(parts);
    proxy.freeze();
    const waiting = lease(cutOff, { waitMs: 20_000 });
    const reported = await reportAndLease(cutOff, completed([given]));
    expect(reported).toMatchObject({ results: [{ kind: "recorded" }], leases: [] });
    await proxy.mend();
    expect(await waiting).toMatchObject([{ jobId }]);
  });
});
