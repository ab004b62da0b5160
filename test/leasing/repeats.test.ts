import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { readLeaseId, writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import { type Lease, createLeaseRound } from "../../src/leasing/lease-round.ts";
import { createLeasing, type LeaseRequest } from "../../src/leasing/leasing.ts";
import { removeLeases } from "../../src/postgres/leasing/lease-ends.ts";
import { drawTicket, openLeases, takeOverLeases } from "../../src/postgres/leasing/leases.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt } from "../support/look.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization, onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { expectAllLive, lease, letRunOut, release, reportAll, runJob, runOut } from "./leases.ts";
import { offerOf } from "../support/offers.ts";

let parts: Parts;
let other: Parts;
let requestId: string;
onTwoReplicasInNewOrganizations((here, there) => {
  parts = here;
  other = there;
  requestId = randomUUID();
});

const numbersOf = (leases: readonly { number: number }[]) => leases.map(({ number }) => number);
const idsOf = (leases: readonly { leaseId: string }[]) => leases.map(({ leaseId }) => leaseId);

/** Three contacts, leased under the request id, of a job that has two more. */
async function leaseThree(fields: Partial<LeaseRequest> = {}) {
  const jobId = await runJob(parts, { contacts: makeContacts(5) });
  const first = await lease(parts, { requestId, maxContacts: 3, ...fields });
  return { jobId, first };
}

/** Makes the call, and goes on when it waits. */
async function beginToWait(replica: Parts, fields: Partial<LeaseRequest> = {}) {
  const drawn = async () => {
    const { rows } = await sql<{ ticket: number }>`
      select case when is_called then last_value else 0 end as ticket from lease_tickets`.execute(replica.db);
    return rows[0]?.ticket ?? 0;
  };
  const before = await drawn();
  const call = lease(replica, { requestId, waitMs: 20_000, maxContacts: 3, ...fields });
  await eventually(async () => expect(await drawn()).toBeGreaterThan(before));
  // This one is served together with the one that waits, which has then found nothing.
  expect(await lease(replica)).toEqual([]);
  return { call };
}

/** What is left to whoever has only the old ids. */
async function expectGone(leases: readonly Awaited<ReturnType<typeof lease>>[number][]) {
  expect(await parts.leasing.extend(parts.caller, idsOf(leases), 600_000)).toEqual(
    leases.map(() => undefined),
  );
  expect(await release(parts, idsOf(leases))).toEqual(leases.map(() => false));
  expect(await reportAll(parts, leases, "completed")).toEqual(leases.map(() => ({ kind: "gone" })));
}

describe.each(["the same replica", "another replica"])("a repeat on %s", (where) => {
  const repeat = (fields: Partial<LeaseRequest> = {}) =>
    lease(where === "another replica" ? other : parts, { requestId, maxContacts: 3, ...fields });

  test("gets the live leases as new ones, for as long as it asks; the old ones are gone", async () => {
    const { jobId, first } = await leaseThree({ durationMs: 60_000 });
    await reportAll(parts, first.slice(0, 1), "completed");
    const again = await repeat({ durationMs: 600_000, workerId: "worker-2" });
    expect(numbersOf(again)).toEqual([2, 3]);
    expect(again).toEqual(
      first.slice(1).map((given, i) => ({
        ...given,
        leaseId: again[i]?.leaseId,
        nonce: again[i]?.nonce,
        expiresAt: expect.toSatisfy(
          (at: Date) => at.getTime() > given.expiresAt.getTime() + 500_000,
        ) as unknown,
      })),
    );
    await expectGone(first.slice(1));
    await expectAllLive(parts, again);
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, 2);
    expect(attempts).toMatchObject([
      { workerId: "worker-2", nonce: readLeaseId(again[0]?.leaseId ?? "").nonce, outcome: null },
    ]);
    expect(await reportAll(parts, again, "completed")).toMatchObject([
      { kind: "recorded" },
      { kind: "recorded" },
    ]);
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({
      counts: { completed: 3, dialing: 0, pending: 2 },
    });
  });

  test("gets other contacts if the first call's were released before", async () => {
    const { jobId, first } = await leaseThree();
    await release(parts, idsOf(first));
    // They are on the list again a moment later.
    await eventually(async () => expect((await lookAt(parts, jobId)).list).toHaveLength(5));
    const again = await repeat();
    expect(again).toHaveLength(3);
    await expectAllLive(parts, again);
    await expectGone(first);
  });

  test("gets other contacts if the first call's have run out, ended by the service or not", async () => {
    const { first } = await leaseThree();
    await letRunOut(parts, idsOf(first));
    const again = await repeat();
    expect(numbersOf(again)).toEqual([4, 5]);
    await runOut(parts, []);
    await expectAllLive(parts, again);
  });

  test.each(["pause", "cancel"] as const)(
    "gets what the first call had leased before a %s, and nothing else",
    async (command) => {
      const { jobId, first } = await leaseThree();
      await parts.jobs[command](onJob(parts, jobId));
      expect(numbersOf(await repeat({ maxContacts: 5 }))).toEqual([1, 2, 3]);
      await expectGone(first);
    },
  );

  test("gets as many as it asks for, and the rest is released", async () => {
    const { first } = await leaseThree();
    const again = await repeat({ maxContacts: 2 });
    expect(numbersOf(again)).toEqual([1, 2]);
    await eventually(() => expectAllLive(parts, again));
    await expectGone(first);
  });

  test("gets what the first call leased while it waited itself", async () => {
    // Neither can have any yet, and both will.
    const first = await beginToWait(parts);
    const again = await beginToWait(where === "another replica" ? other : parts, { waitMs: 3_000 });
    await runJob(parts);
    const given = await again.call;
    expect(numbersOf(given).toSorted()).toEqual([1, 2, 3]);
    await first.call;
    await expectAllLive(parts, given);
  });
});

describe("two repeats at once", () => {
  test("on two replicas leave each contact with one of them", async () => {
    for (let turn = 0; turn < 20; turn += 1) {
      requestId = randomUUID();
      const jobId = await runJob(parts, { contacts: makeContacts(4), concurrentCallLimit: 100 });
      const asking = { requestId, maxContacts: 2, jobIds: [jobId], waitMs: 500 };
      const answers = await Promise.all([lease(parts, asking), lease(other, asking), lease(other, asking)]);
      // What does not fit into the answer of the last one is being released.
      const holders = await eventually(async () => {
        const live = await parts.db.selectFrom("leases").selectAll().where("job_id", "=", jobId).execute();
        const nonces = new Set(live.map(({ nonce }) => nonce));
        const held = answers.filter((leases) => leases.some(({ nonce }) => nonces.has(nonce)));
        expect(held).toHaveLength(1);
        expect(new Set(held.flat().map(({ nonce }) => nonce))).toEqual(nonces);
        return held;
      });
      await reportAll(parts, holders.flat(), "completed");
    }
  });

  test("on one replica end the first one's wait, with nothing", async () => {
    const first = await beginToWait(parts);
    const again = await beginToWait(parts);
    expect(await first.call).toEqual([]);
    await runJob(parts);
    expect(numbersOf(await again.call)).toEqual([1, 2, 3]);
  });
});

describe("a call that was held up on its way, and repeated meanwhile,", () => {
  test("takes nothing from the repeat by what it does under its ticket", async () => {
    await leaseThree();
    const { ticket, isRepeat } = await drawTicket(parts.db, parts.caller.organizationId, requestId);
    expect(isRepeat).toBe(true);
    const again = await lease(other, { requestId, maxContacts: 3 });
    const taker = { workerId: "worker-1", requestId, ticket, most: 10, durationMs: 120_000 };
    expect(await takeOverLeases(parts.db, parts.caller.organizationId, taker)).toEqual({
      leases: [],
      surplus: [],
      isLate: true,
    });
    await expectAllLive(parts, again);
  });

  test("ends with nothing where it waited on another replica", async () => {
    const first = await beginToWait(other);
    const jobId = await runJob(parts, { contacts: makeContacts(5) });
    // The other replica is not told; it looks every second.
    const again = await lease(parts, { requestId, maxContacts: 3, jobIds: [jobId] });
    expect(again).toHaveLength(3);
    // Where its look came in between it was given them, and they were taken over.
    expect([[], numbersOf(again)]).toContainEqual(numbersOf(await first.call));
    await expectAllLive(parts, again);
  });

  test("takes nothing if it hears, with its ticket, that its caller has gone", async () => {
    const { first } = await leaseThree();
    const gone = new AbortController();
    const call = lease(parts, { requestId, signal: gone.signal });
    gone.abort();
    expect(await call).toEqual([]);
    await expectAllLive(parts, first);
  });

  test("ends no wait of the repeat, though its own ticket is the later", async () => {
    await using proxy = await startProxy(parts.databaseUrl);
    await using replica = await startParts({ beside: { databaseUrl: proxy.url, prefix: parts.prefix } });
    const slow = { ...replica, caller: parts.caller };
    const gone = new AbortController();
    const { sprung } = proxy.trap((sent) => sent.includes("lease_tickets"), "hold the request");
    const first = lease(slow, { requestId, waitMs: 20_000, signal: gone.signal });
    await sprung;
    gone.abort();
    const again = await beginToWait(slow);
    expect(await first).toEqual([]);
    await runJob(parts);
    expect(numbersOf(await again.call)).toEqual([1, 2, 3]);
  });

  test("takes nothing if its caller goes while its turn is in hand, though its own ticket is the later", async () => {
    const { organizationId } = parts.caller;
    const jobId = await runJob(parts, { contacts: makeContacts(5) });
    const earlier = await drawTicket(parts.db, organizationId, requestId);
    const reserving = Promise.withResolvers<void>();
    const mayReserve = Promise.withResolvers<void>();
    const reservations: Parts["reservations"] = {
      ...other.reservations,
      async take(...asked) {
        reserving.resolve();
        await mayReserve.promise;
        return await other.reservations.take(...asked);
      },
    };
    await using stale = createLeasing({
      ...other,
      round: createLeaseRound({ ...other, reservations }),
    });
    const gone = new AbortController();
    const call = lease({ ...other, leasing: stale }, { requestId, signal: gone.signal });
    await reserving.promise;
    const taker = { workerId: "w", requestId, ticket: earlier.ticket, most: 2, durationMs: 120_000 };
    const opened = await openLeases(parts.db, organizationId, [offerOf(jobId, [1, 2])], [taker]);
    await parts.db.transaction().execute(async (trx) => {
      await sql`select from organizations where id = ${organizationId} for update`.execute(trx);
      mayReserve.resolve();
      await eventually(async () => {
        const { rows } = await sql`
          select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
          trx,
        );
        expect(rows).toHaveLength(1);
      });
      gone.abort();
    });
    expect(await call).toEqual([]);
    await stale[Symbol.asyncDispose]();
    await expectAllLive(
      parts,
      opened.leases.flat().map((key) => ({ leaseId: writeLeaseId(key) })),
    );
  });
});

/** On this replica a call is at this statement, with a later ticket than its repeat, and its caller goes. */
async function beginLateCall(statement: string) {
  await using own = new AsyncDisposableStack();
  const proxy = own.use(await startProxy(parts.databaseUrl));
  const replica = own.use(await startParts({ beside: { databaseUrl: proxy.url, prefix: parts.prefix } }));
  const slow = { ...replica, caller: parts.caller };
  const gone = new AbortController();
  const { sprung } = proxy.trap((sent) => sent.includes(statement), "hold the request");
  const call = lease(slow, { requestId, maxContacts: 3, signal: gone.signal });
  await sprung;
  const running = own.move();
  return { proxy, slow, call, gone, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

const takenBack = (leases: readonly Lease[]) =>
  parts.db
    .transaction()
    .execute((trx) => removeLeases(trx, parts.caller.organizationId, leases, { by: "call" }));

describe("a call that takes over from its repeat, as the one with the later ticket,", () => {
  test("leaves the leases to the repeat if its caller goes meanwhile", async () => {
    const { jobId } = await leaseThree();
    const again = await lease(other, { requestId, maxContacts: 3, durationMs: 600_000 });
    await using late = await beginLateCall("take_over_leases");
    late.gone.abort();
    expect(await late.call).toEqual([]);
    await eventually(() => expectAllLive(parts, again));
    const live = await parts.db.selectFrom("leases").selectAll().where("job_id", "=", jobId).execute();
    expect(live.map(({ expires_at: at }) => at)).toEqual(again.map(({ expiresAt }) => expiresAt));
    expect(await reportAll(parts, again, "completed")).toMatchObject(again.map(() => ({ kind: "recorded" })));
  });

  test.each([
    { order: [0, 1, 2], left: [[2], [2], []] },
    { order: [2, 1, 0], left: [[1], [0], []] },
    { order: [1, 2, 0], left: [[2], [0], []] },
    { order: [2, 0, 1], left: [[1], [1], []] },
  ])("leaves them to the last that has not taken them back, in order $order", async ({ order, left }) => {
    const { first, jobId } = await leaseThree();
    const again = await lease(other, { requestId, maxContacts: 3 });
    const calls = [first, again, await lease(parts, { requestId, maxContacts: 3 })];
    for (const [i, call] of order.entries()) {
      const removed = await takenBack(calls[call] ?? []);
      await expectAllLive(parts, left[i]?.flatMap((whose) => calls[whose] ?? []) ?? []);
      expect(removed.map((contact) => contact !== undefined)).toEqual([1, 2, 3].map(() => i === 2));
    }
    expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({ counts: { dialing: 0, pending: 5 } });
  });
});

test("a call that has its ticket only after its repeat has come to the same replica takes nothing", async () => {
  await leaseThree();
  await using late = await beginLateCall("lease_tickets");
  const again = await lease(late.slow, { requestId, maxContacts: 3 });
  expect(again).toHaveLength(3);
  expect(await late.call).toEqual([]);
  await expectAllLive(parts, again);
});

test("a call that comes after its repeat, and whose caller has gone by then, takes nothing from it", async () => {
  const { first } = await leaseThree();
  await using early = await beginLateCall("lease_tickets");
  const gone = new AbortController();
  const late = lease(early.slow, { requestId, maxContacts: 3, signal: gone.signal });
  // It is heard of before any answer of Postgres.
  setImmediate(() => gone.abort());
  expect(await late).toEqual([]);
  expect(numbersOf(await early.call)).toEqual(numbersOf(first));
  await expectAllLive(parts, await early.call);
});

test("a call is served though another one came after it, whose caller has gone before either has its ticket", async () => {
  const { first } = await leaseThree();
  await using early = await beginLateCall("lease_tickets");
  const { sprung } = early.proxy.trap((sent) => sent.includes("lease_tickets"), "hold the request");
  const gone = new AbortController();
  const late = lease(early.slow, { requestId, maxContacts: 3, signal: gone.signal });
  await sprung;
  gone.abort();
  expect(numbersOf(await early.call)).toEqual(numbersOf(first));
  expect(await late).toEqual([]);
  await expectAllLive(parts, await early.call);
});

test("a request id is of one organization only", async () => {
  const { first } = await leaseThree();
  const stranger = await forNewOrganization(parts);
  await runJob(stranger);
  expect(numbersOf(await lease(stranger, { requestId }))).toEqual([1]);
  await expectAllLive(parts, first);
});
