import * as fc from "fast-check";
import { expect } from "vitest";
import { type Outcome, outcomes } from "../../src/domain/contact.ts";
import { release, report } from "./leases.ts";
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
 * The same reports from one replica or from both at once, as a worker sends them that lost an answer. Of each report one
 * of the two is the first.
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

const lease = step("lease", fc.record({ workers, only: fc.option(which) }), leaseSome);

const reports = fc.array(fc.record({ which, outcome }), { minLength: 1, maxLength: 4 });
const reporting = fc.record({ reports, replica, isTwice: fc.boolean() });
const reportStep = step("report", reporting, reportSome, hasLeases);

/** What workers do. */
export const leaseSteps: fc.Arbitrary<Step>[] = [
  ...times(12, lease),
  ...times(8, reportStep),
  ...times(2, step("release", fc.record({ picks, replica }), releaseSome, hasLeases)),
  step("extend", fc.record({ picks, replica }), extendSome, hasLeases),
];
