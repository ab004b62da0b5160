import { randomUUID } from "node:crypto";
import * as fc from "fast-check";
import { sql } from "kysely";
import { expect } from "vitest";
import { type Outcome, outcomes } from "../../src/domain/contacts/contact.ts";
import { databaseNow } from "../../src/postgres/jobs/batch-jobs.ts";
import { eventually } from "../support/eventually.ts";
import { lease as leaseFrom, release, report } from "./leases.ts";
import type { Lease } from "../../src/leasing/lease-round.ts";
import type { Model } from "./model.ts";
import {
  type Real,
  type Step,
  hasJobs,
  hasLeases,
  jobAt,
  leaseAll,
  leaseAt,
  picks,
  replica,
  step,
  times,
  which,
  worker,
} from "./step.ts";

type On = { replica: 0 | 1 };
type Picked = On & { picks: number[] };
type Asking = { workers: (On & { maxContacts: number })[]; only: number | null };
type Reporting = On & { reports: { which: number; outcome: Outcome }[]; isTwice: boolean };

const workers = fc.array(worker, { minLength: 1, maxLength: 4 });
const outcome = fc.oneof(
  fc.constantFrom<Outcome>("completed", "busy", "unknown"),
  fc.constantFrom(...outcomes),
);

async function leaseSome(model: Model, real: Real, { workers: asking, only }: Asking): Promise<void> {
  const jobIds = only === null || !hasJobs(model) ? [] : [jobAt(model, only).id];
  const leases = await leaseAll(real, asking, jobIds);
  expect(jobIds.length === 0 || leases.every(({ jobId }) => jobIds.includes(jobId))).toBe(true);
  model.open(leases);
}

/**
 * The same reports from one replica or from both at once, as a worker sends them that lost an answer. Of each report
 * one of the two is the first.
 */
async function reportSome(model: Model, { replicas }: Real, { reports, replica: on, isTwice }: Reporting) {
  const named = reports.map((some) => ({ leaseId: leaseAt(model, some.which), outcome: some.outcome }));
  const callers = isTwice ? ([0, 1] as const) : [on];
  const answers = await Promise.all(callers.map((i) => report(replicas[i], named)));
  const told = answers.map((results) =>
    results.map((result) => ("nextAttemptAt" in result ? { ...result, nextAttemptAt: undefined } : result)),
  );
  const expected = callers.map(() => model.report(named));
  for (const i of named.keys()) {
    const pair = expected.map((each) => each[i]);
    expect([pair, pair.toReversed()]).toContainEqual(told.map((results) => results[i]));
  }
}

async function releaseSome(model: Model, { replicas }: Real, { picks: chosen, replica: on }: Picked) {
  const leaseIds = chosen.map((n) => leaseAt(model, n));
  expect(await release(replicas[on], leaseIds)).toEqual(model.release(leaseIds));
}

async function extendSome(model: Model, { replicas }: Real, { picks: chosen, replica: on }: Picked) {
  const leaseIds = chosen.map((n) => leaseAt(model, n));
  const { leasing, caller } = replicas[on];
  const extended = await leasing.extend(caller, leaseIds, 600_000);
  expect(extended.map((end) => end !== undefined)).toEqual(leaseIds.map((id) => model.extends(id)));
}

/** What has no worker is released, but nobody waits for that. */
async function untilLive({ replicas: [{ db }] }: Real, requestId: string, leases: readonly Lease[]) {
  await eventually(async () => {
    const live = await db
      .selectFrom("leases")
      .select("nonce")
      .where("request_id", "=", requestId)
      .where("expires_at", ">", sql<Date>`clock_timestamp()`)
      .execute();
    expect(new Set(live.map(({ nonce }) => nonce))).toEqual(new Set(leases.map(({ nonce }) => nonce)));
  });
}

type GivingUp = { first: 0 | 1; again: 0 | 1; most: [number, number]; queries: number };

/** A worker gives a call up, sooner or later, and repeats it on the same replica or the other one. */
async function giveUp(model: Model, real: Real, { first, again, most, queries }: GivingUp): Promise<void> {
  const requestId = randomUUID();
  const away = new AbortController();
  const call = leaseFrom(real.replicas[first], { requestId, maxContacts: most[0], signal: away.signal });
  for (let asked = 0; asked < queries; asked += 1) await databaseNow(real.replicas[0].db);
  away.abort();
  const repeated = await leaseFrom(real.replicas[again], { requestId, maxContacts: most[1] });
  const given = await call;
  // Served after the round in which the one that was given up may still be.
  await leaseFrom(real.replicas[first], { jobIds: [randomUUID()] });
  await untilLive(real, requestId, repeated);
  const ids = given.map(({ leaseId }) => leaseId);
  if (given.length === 0) model.open(repeated);
  else {
    model.open(given);
    expect(repeated).toHaveLength(Math.min(given.length, most[1]));
    model.takeOver(ids, repeated);
  }
  model.requests.set(
    requestId,
    repeated.map(({ leaseId }) => leaseId),
  );
}

type Repeating = { which: number; replica: 0 | 1; maxContacts: number };

/** A worker repeats a call whose answer it had, long ago perhaps: what is live of it is given as new leases. */
async function repeatOld(model: Model, real: Real, { which: n, replica: on, maxContacts }: Repeating) {
  const [requestId, ids] = [...model.requests][n % model.requests.size] ?? ["", []];
  const held = ids.filter(model.extends);
  const repeated = await leaseFrom(real.replicas[on], { requestId, maxContacts });
  if (held.length === 0) model.open(repeated);
  else {
    expect(repeated).toHaveLength(Math.min(held.length, maxContacts));
    model.takeOver(held, repeated);
    await untilLive(real, requestId, repeated);
  }
  model.requests.set(
    requestId,
    repeated.map(({ leaseId }) => leaseId),
  );
}

const lease = step("lease", fc.record({ workers, only: fc.option(which) }), leaseSome);

const reports = fc.array(fc.record({ which, outcome }), { minLength: 1, maxLength: 4 });
const reporting = fc.record({ reports, replica, isTwice: fc.boolean() });
const reportStep = step("report", reporting, reportSome, hasLeases);

const few = fc.integer({ min: 1, max: 4 });
const queries = fc.nat(12);
const givingUp = fc.record({ first: replica, again: replica, most: fc.tuple(few, few), queries });
const hasRequests = (model: Model): boolean => model.requests.size > 0;

/** What workers do. */
export const leaseSteps: fc.Arbitrary<Step>[] = [
  ...times(12, lease),
  ...times(8, reportStep),
  ...times(2, step("release", fc.record({ picks, replica }), releaseSome, hasLeases)),
  ...times(6, step("give up", givingUp, giveUp)),
  ...times(2, step("repeat", fc.record({ which, replica, maxContacts: few }), repeatOld, hasRequests)),
  step("extend", fc.record({ picks, replica }), extendSome, hasLeases),
];
