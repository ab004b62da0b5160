import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { databaseNow } from "../../src/postgres/jobs/batch-jobs.ts";
import { eventually } from "../support/eventually.ts";
import { aNewJob, makeContacts, onJob } from "../support/make.ts";
import { makeCaller } from "../support/organization.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization } from "../support/replicas.ts";
import {
  expectAllLive,
  lease,
  leaseOne,
  limitOrganization,
  release,
  reportAll,
  runJob,
  runOut,
} from "./leases.ts";
import { wired } from "./wired.ts";

/** How long a worker waits before it looks if nobody wakes it: what it gets sooner it was told of. */
const longestSleepMs = 60_000;
const waitMs = 60_000;

const stack = new AsyncDisposableStack();
let here: Parts;
let there: Parts;
beforeAll(async () => {
  const first = stack.use(await startParts());
  here = stack.use(await wired(first, { longestSleepMs }));
  there = stack.use(await wired(stack.use(await startParts({ beside: first })), { longestSleepMs }));
});
afterAll(() => stack.disposeAsync());

/** Prepares what a worker waits for, which the answer then brings about. */
type Preparation = (parts: Parts) => Promise<() => Promise<unknown>>;

const one = makeContacts(1);

const aJobIsStarted: Preparation = async (parts) => {
  const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob());
  return () => parts.jobs.start(onJob(parts, batchJobId));
};

const awaited: Record<string, Preparation> = {
  "a job is started": aJobIsStarted,
  async "contacts are added"(parts) {
    const jobId = await runJob(parts, { contacts: one });
    await lease(parts);
    return () => parts.jobs.addContacts(onJob(parts, jobId), makeContacts(1, 5));
  },
  async "a job is resumed"(parts) {
    const jobId = await runJob(parts);
    await parts.jobs.pause(onJob(parts, jobId));
    return () => parts.jobs.resume(onJob(parts, jobId));
  },
  async "a lease is released"(parts) {
    await runJob(parts, { contacts: one });
    const { leaseId } = await leaseOne(parts);
    return () => release(parts, [leaseId]);
  },
  async "a call of a job at its limit ends"(parts) {
    await runJob(parts, { concurrentCallLimit: 1 });
    const leases = await lease(parts);
    return () => reportAll(parts, leases, "completed");
  },
  async "a call of an organization at its limit ends"(parts) {
    await limitOrganization(parts, 1);
    await runJob(parts, { contacts: one });
    await runJob(parts, { contacts: one });
    const leases = await lease(parts);
    return () => reportAll(parts, leases, "completed");
  },
  async "a lease runs out"(parts) {
    await runJob(parts, { concurrentCallLimit: 1 });
    const leases = await lease(parts);
    return () => runOut(parts, leases);
  },
  async "a call ends that is retried at once"(parts) {
    await runJob(parts, { contacts: one, retryDelaysMs: [0] });
    const leases = await lease(parts);
    return () => reportAll(parts, leases, "busy");
  },
};

/** How long a worker that waits on one replica waits on after the other one has brought about what it waits for. */
async function measure(prepare: Preparation, replica: Parts): Promise<number> {
  const caller = await makeCaller(here);
  const [waiting, acting] = [
    { ...replica, caller },
    { ...there, caller },
  ];
  const act = await prepare(acting);
  const call = lease(waiting, { waitMs });
  // This one is served together with the one that waits, which has then found nothing.
  expect(await lease(waiting)).toEqual([]);
  await act();
  const began = performance.now();
  expect(await call).toHaveLength(1);
  return performance.now() - began;
}

describe("a worker that waits", () => {
  test.each(Object.entries(awaited))("is woken on another replica when %s", async (_, prepare) => {
    expect(await measure(prepare, here)).toBeLessThan(longestSleepMs / 3);
  });

  test("is served all the same if nobody tells it", async () => {
    await using deaf = await startParts({ beside: here });
    expect(await measure(aJobIsStarted, deaf)).toBeLessThan(waitMs);
  });

  test("gets a retry when its time has come, and not before", async () => {
    const parts = await forNewOrganization(here);
    const jobId = await runJob(parts, { contacts: one, retryDelaysMs: [300] });
    const given = await lease(parts);
    const call = lease(parts, { waitMs, jobIds: [jobId] });
    const [result] = await reportAll(parts, given, "no_answer");
    expect(await call).toMatchObject([{ jobId, number: 1, attempt: 2 }]);
    const { attempts } = await parts.jobs.getContact(parts.caller, jobId, 1);
    const due = result?.kind === "recorded" ? (result.nextAttemptAt?.getTime() ?? 0) : 0;
    expect(due - (attempts[0]?.endedAt?.getTime() ?? 0)).toBe(300);
    const lateness = (attempts[1]?.leasedAt.getTime() ?? 0) - due;
    expect(lateness).toBeGreaterThanOrEqual(0);
    expect(lateness).toBeLessThan(longestSleepMs / 3);
  });

  test("gets nothing when its time is over", async () => {
    const parts = await forNewOrganization(here);
    const began = performance.now();
    expect(await lease(parts, { waitMs: 300 })).toEqual([]);
    expect(performance.now() - began).toBeGreaterThanOrEqual(300);
  });

  test("gets nothing at once when its replica stops", async () => {
    await using parts = await startParts({ beside: here });
    const calls = [lease(parts, { waitMs: 20_000 }), lease(parts, { waitMs: 20_000 })];
    await parts.leasing[Symbol.asyncDispose]();
    expect(await Promise.all(calls)).toEqual([[], []]);
    expect(await lease(parts, { waitMs: 20_000 })).toEqual([]);
  });

  test("takes nothing from the others when it has gone", async () => {
    const parts = await forNewOrganization(here);
    const gone = new AbortController();
    const call = lease(parts, { waitMs: 20_000, maxContacts: 10, signal: gone.signal });
    gone.abort();
    expect(await call).toEqual([]);
    await runJob(parts);
    expect(await lease(parts, { maxContacts: 10 })).toHaveLength(3);
  });

  test("leaves nothing leased when it goes while it is being served", async () => {
    const parts = await forNewOrganization(here);
    const jobId = await runJob(parts, { contacts: makeContacts(60), concurrentCallLimit: 100 });
    const trials = Array.from({ length: 30 }, async (_, i) => {
      const gone = new AbortController();
      const call = lease(parts, { signal: gone.signal });
      for (let queries = 0; queries < i % 10; queries += 1) await databaseNow(parts.db);
      gone.abort();
      return await call;
    });
    const given = (await Promise.all(trials)).flat();
    await eventually(() => expectAllLive(parts, given));
    expect(given.length).toBeLessThan(trials.length);
    await eventually(async () => {
      await lease(parts, { maxContacts: 100 });
      const counts = { pending: 0, dialing: 60 };
      expect(await parts.jobs.get(parts.caller, jobId)).toMatchObject({ counts });
    });
  });
});
