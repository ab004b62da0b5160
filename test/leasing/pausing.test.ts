import { beforeEach, describe, expect, test } from "vitest";
import type { Outcome } from "../../src/domain/contacts/contact.ts";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import type { Lease } from "../../src/leasing/lease-round.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt } from "../support/look.ts";
import { makeContacts, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicasInNewOrganizations } from "../support/replicas.ts";
import { lease, limitOrganization, report, runJob, runOut } from "./leases.ts";

/* A job that too many attempts in a row end badly for pauses itself. */

let parts: Parts;
let other: Parts;
onTwoReplicasInNewOrganizations((here, there) => {
  parts = here;
  other = there;
});
beforeEach(async () => {
  await limitOrganization(parts, 1_000);
});

const run = (fields: Partial<NewJob>) =>
  runJob(parts, { contacts: makeContacts(200), concurrentCallLimit: 200, retryOn: [], ...fields });

const half = { window: 20, share: 0.5, outcomes: ["carrier_error", "failed"] } as const;

async function leaseMany(count: number): Promise<readonly Lease[]> {
  const leases = await lease(parts, { maxContacts: count });
  expect(leases).toHaveLength(count);
  return leases;
}

const inTurn = (leases: readonly Lease[], ...outcomes: readonly Outcome[]) =>
  leases.map(({ leaseId }, i) => ({ leaseId, outcome: outcomes[i % outcomes.length] ?? "failed" }));

/** Calls so many contacts, whose outcomes are these in turn, and reports all at once. */
const call = async (count: number, ...outcomes: readonly Outcome[]) =>
  await report(parts, inTurn(await leaseMany(count), ...outcomes));

const stateOf = async (jobId: string) => {
  const { status, pauseReason, revision } = await parts.jobs.get(parts.caller, jobId);
  return { status, pauseReason, revision };
};
const running = { status: "running", pauseReason: null, revision: 2 };
const paused = { status: "paused", pauseReason: "pause_when", revision: 3 };

test("a job pauses itself with the attempt by which its share is reached, and gives no lease then", async () => {
  const jobId = await run({ pauseWhen: half });
  await call(18, "failed", "completed");
  await call(1, "completed");
  expect(await stateOf(jobId)).toEqual(running);
  await call(1, "carrier_error");
  expect(await stateOf(jobId)).toEqual(paused);
  expect(await lease(parts, { maxContacts: 10 })).toEqual([]);
  await eventually(async () =>
    expect(await lookAt(parts, jobId)).toMatchObject({ list: [], position: null }),
  );
});

test("it is told that its breaker did so, once", async () => {
  const jobId = await run({ pauseWhen: half });
  await call(20, "failed");
  const recorded = await parts.db
    .selectFrom("events")
    .select(["type", "actor", "revision", "data"])
    .where("batch_job_id", "=", jobId)
    .where("type", "=", "batch_job.paused")
    .execute();
  expect(recorded).toEqual([
    {
      type: "batch_job.paused",
      actor: "breaker",
      revision: 3,
      data: { pauseReason: "pause_when", attempts: 20, ofTheOutcomes: 20 },
    },
  ]);
});

test("reports that come to two replicas at once pause it once", async () => {
  const jobId = await run({ pauseWhen: half });
  const leases = await leaseMany(100);
  await Promise.all(
    leases.map(({ leaseId }, i) => report(i % 2 === 0 ? parts : other, [{ leaseId, outcome: "failed" }])),
  );
  expect(await stateOf(jobId)).toEqual(paused);
  expect((await parts.jobs.get(parts.caller, jobId)).counts.failed).toBe(100);
});

test("only the last attempts count, however many went well before", async () => {
  const jobId = await run({ pauseWhen: half });
  await call(100, "completed");
  await call(9, "failed");
  expect(await stateOf(jobId)).toEqual(running);
  await call(1, "failed");
  expect(await stateOf(jobId)).toEqual(paused);
});

test("those that have left the window count no more, of one report too", async () => {
  const jobId = await run({ pauseWhen: half });
  const leases = await leaseMany(38);
  await report(parts, [
    ...inTurn(leases.slice(0, 9), "failed"),
    ...inTurn(leases.slice(9, 29), "completed"),
    ...inTurn(leases.slice(29), "failed"),
  ]);
  expect(await stateOf(jobId)).toEqual(running);
});

test("it is judged after each attempt of those that are reported at once", async () => {
  const jobId = await run({ pauseWhen: half });
  const leases = await leaseMany(80);
  await report(parts, [...inTurn(leases.slice(0, 40), "failed"), ...inTurn(leases.slice(40), "completed")]);
  expect(await stateOf(jobId)).toEqual(paused);
});

test.each([
  [
    "other outcomes than are named do not count",
    { ...half, outcomes: ["busy"] as const },
    0,
    "failed" as const,
    running,
  ],
  ["those that are named do", { ...half, outcomes: ["busy"] as const }, 0, "busy" as const, paused],
  ["three of thirty are a tenth", { ...half, window: 30, share: 0.1 }, 27, "failed" as const, paused],
  ["two of thirty are none", { ...half, window: 30, share: 0.1 }, 28, "failed" as const, running],
])("%s", async (_, pauseWhen, wellEnded, outcome, state) => {
  const jobId = await run({ pauseWhen });
  const leases = await leaseMany(30);
  await report(parts, [
    ...inTurn(leases.slice(0, wellEnded), "completed"),
    ...inTurn(leases.slice(wellEnded), outcome),
  ]);
  expect(await stateOf(jobId)).toEqual(state);
});

test("leases that run out count as unknown", async () => {
  const jobId = await run({ pauseWhen: { ...half, outcomes: ["unknown"] } });
  await runOut(parts, await leaseMany(20));
  expect(await stateOf(jobId)).toEqual(paused);
});

describe("a resume", () => {
  test("starts a new window, in which what ended meanwhile does not count", async () => {
    const jobId = await run({ pauseWhen: half });
    const meanwhile = await leaseMany(15);
    await call(20, "failed");
    await report(parts, inTurn(meanwhile, "failed"));
    await parts.jobs.resume(onJob(parts, jobId));
    await parts.fanOut.run({ id: jobId, organizationId: parts.caller.organizationId });
    expect(await stateOf(jobId)).toEqual({ ...running, revision: 4 });
    await call(19, "failed");
    expect(await stateOf(jobId)).toEqual({ ...running, revision: 4 });
    await call(1, "failed");
    expect(await stateOf(jobId)).toEqual({ ...paused, revision: 5 });
  });

  test("does so after a command has paused the job, too, which gives no reason", async () => {
    const jobId = await run({ pauseWhen: half });
    await call(19, "failed");
    await parts.jobs.pause(onJob(parts, jobId));
    expect(await stateOf(jobId)).toEqual({ status: "paused", pauseReason: null, revision: 3 });
    await parts.jobs.resume(onJob(parts, jobId));
    await parts.fanOut.run({ id: jobId, organizationId: parts.caller.organizationId });
    await call(19, "failed");
    expect((await stateOf(jobId)).status).toBe("running");
  });
});

test("a change of when it pauses begins anew, and may be that it does not", async () => {
  const jobId = await run({ pauseWhen: half });
  await call(19, "failed");
  await parts.jobs.update(onJob(parts, jobId), { pauseWhen: { ...half, share: 1 } });
  await call(19, "failed");
  expect((await stateOf(jobId)).status).toBe("running");
  await parts.jobs.update(onJob(parts, jobId), { pauseWhen: null });
  await call(100, "failed");
  expect((await stateOf(jobId)).status).toBe("running");
});

test("a job that ends with its last attempt ends, and does not pause", async () => {
  const jobId = await run({ contacts: makeContacts(20), pauseWhen: half });
  await call(20, "failed");
  expect(await stateOf(jobId)).toMatchObject({ status: "failed", pauseReason: null });
});
