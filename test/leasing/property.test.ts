import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Outcome } from "../../src/domain/contacts/contact.ts";
import { breaches } from "../support/breaches.ts";
import { onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicas } from "../support/replicas.ts";
import { expectAsModelled } from "./invariants.ts";
import { createJob, jobSteps, openIn } from "./job-steps.ts";
import { leaseSteps } from "./lease-steps.ts";
import { lease, limitOrganization, report } from "./leases.ts";
import { type Model, createModel, zoneHours } from "./model.ts";
import type { Real } from "./step.ts";
import { end, expire, makeRetriesDue, sweepOnce, timeSteps } from "./time-steps.ts";

/*
 * A failure prints its seed. PROPERTY_SEED=<seed> runs that seed again and shrinks what fails; PROPERTY_SECONDS=<n>
 * tries new seeds for so long.
 */
const seed = process.env["PROPERTY_SEED"];
const seconds = Number(process.env["PROPERTY_SECONDS"] ?? 8);
const stepsPerRun = 80;
const runsPerSeed = 10;
/** After that a replay tells the shortest failure that it has come to. */
const replayMs = 300_000;
const organizationLimit = 4;

/** Works every job that was started to its end, as workers and passes do. Answers those that do not end. */
async function workOff(model: Model, real: Real): Promise<readonly string[]> {
  const [parts, other] = real.replicas;
  const inHand = () =>
    [...model.jobs.values()].filter(({ status }) => ["running", "paused"].includes(status));
  const reportLive = async (outcome: Outcome) => {
    const live = model.liveLeaseIds().map((leaseId) => ({ leaseId, outcome }));
    await report(other, live);
    model.report(live);
    await expectAsModelled(parts, model);
  };
  await reportLive("completed");
  for (const job of inHand().filter(({ status }) => status === "paused")) {
    await parts.jobs.resume(onJob(parts, job.id));
    model.change("resume", job);
  }
  for (const job of inHand()) {
    if (job.openZones !== undefined) await openIn(model, real, job, { places: [...zoneHours.keys()], on: 0 });
  }
  for (let rounds = 0; inHand().length > 0 && rounds < 100; rounds += 1) {
    await makeRetriesDue(model, real);
    await expire(model, real, [1]);
    await sweepOnce(model, real, 0);
    model.open(await lease(parts, { maxContacts: 10 }));
    await reportLive("busy");
  }
  return inHand().map(({ id }) => id);
}

let first: Parts;
let second: Parts;
onTwoReplicas(
  (here, there) => {
    first = here;
    second = there;
  },
  [3, 2],
);

/** Two replicas, for a caller of an organization that has nothing yet. */
async function startReal(): Promise<Real> {
  const caller = await makeCaller(first);
  await limitOrganization({ ...first, caller }, organizationLimit);
  return {
    replicas: [
      { ...first, caller },
      { ...second, caller },
    ],
  };
}

const broken = (model: Model, { replicas: [parts] }: Real) => breaches(parts, [...model.jobs.keys()]);

test("the end of a job that ended at its end is left where it was", async () => {
  const real = await startReal();
  const model = createModel(organizationLimit);
  await createJob(model, real, { count: 3, limit: 3, maxAttempts: 1, retryOn: ["busy"], isStarted: true });
  for (const on of [0, 1] as const) await end(model, real, { which: 0, on: [on], asking: [] });
  await expectAsModelled(real.replicas[0], model);
  expect(await broken(model, real)).toEqual({});
});

test(
  "whatever workers, commands and losses do, Postgres holds what the model says, and every job comes to its end",
  async () => {
    const property = fc.asyncProperty(
      fc.commands([...jobSteps, ...leaseSteps, ...timeSteps], { maxCommands: stepsPerRun, size: "max" }),
      async (commands) => {
        const real = await startReal();
        const model = createModel(organizationLimit);
        const retryOn: Outcome[] = ["busy", "unknown"];
        await createJob(model, real, { count: 8, limit: 3, maxAttempts: 3, retryOn, isStarted: true });
        await createJob(model, real, { count: 2, limit: 2, maxAttempts: 2, retryOn, isStarted: true });
        const some = { count: 8, limit: 3, maxAttempts: 2, retryOn };
        await createJob(model, real, { ...some, isStarted: true, openZones: [0, 1] });
        await fc.asyncModelRun(() => ({ model, real }), commands);
        expect(await workOff(model, real)).toEqual([]);
        expect(await broken(model, real)).toEqual({});
      },
    );
    const enough = performance.now() + (seed === undefined ? seconds * 1_000 : 0);
    let next = seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(seed);
    do {
      const replay = { plugins: [fc.interruptAfterTimeLimit(replayMs, { failOnInterrupt: true })] };
      const how = seed === undefined ? { endOnFailure: true } : replay;
      await fc.assert(property, { seed: next, numRuns: runsPerSeed, ...how });
      next += 1;
    } while (performance.now() < enough);
  },
  seed === undefined ? (seconds + 120) * 1_000 : 600_000,
);
