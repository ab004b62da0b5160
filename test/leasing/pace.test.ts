import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { NewJob } from "../../src/jobs/batch-jobs.ts";
import type { Lease } from "../../src/leasing/lease-round.ts";
import { openLeases } from "../../src/postgres/leasing/leases.ts";
import { callsAllowed, limitNow } from "../../src/postgres/leasing/pace.ts";
import { lockOrganization } from "../../src/postgres/jobs/locks.ts";
import { telling } from "../../src/postgres/events/events.ts";
import { updateOrganization } from "../../src/postgres/organizations.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { forNewOrganization } from "../support/replicas.ts";
import { type Call, mostAtOnce, mostIn, tooFast } from "./how-fast.ts";
import { lease, leaseOne, limitOrganization, reportAll, runJob } from "./leases.ts";
import { wired } from "./wired.ts";
import { offerOf } from "../support/offers.ts";

/** How long a worker waits before it looks if nobody wakes it: what it gets sooner it was woken for. */
const longestSleepMs = 60_000;

const stack = new AsyncDisposableStack();
let replicas: Parts[];
let parts: Parts;
/** The same organization on each replica. */
let all: Parts[];
beforeAll(async () => {
  const first = stack.use(await startParts());
  const others = [
    stack.use(await startParts({ beside: first })),
    stack.use(await startParts({ beside: first })),
  ];
  replicas = await Promise.all(
    [first, ...others].map(async (one) => stack.use(await wired(one, { longestSleepMs }))),
  );
});
afterAll(() => stack.disposeAsync());
beforeEach(async () => {
  const [first] = replicas;
  if (first === undefined) throw new Error("there is no replica");
  parts = await forNewOrganization(first);
  all = replicas.map((one) => ({ ...one, caller: parts.caller }));
  await limitOrganization(parts, 10_000);
});

const setPace = (callsPerSecond: number | null) =>
  parts.db.transaction().execute(async (trx) => {
    const { organizationId } = parts.caller;
    await lockOrganization(trx, organizationId);
    const by = { actor: "service", requestId: "" } as const;
    await telling(trx, organizationId, (tell) =>
      updateOrganization(trx, organizationId, { callsPerSecond }, by, tell),
    );
  });

/** Works for so long on each replica, as fast as contacts come. */
async function work(ms: number, fields: { waitMs?: number; maxContacts?: number } = {}): Promise<void> {
  const end = performance.now() + ms;
  await Promise.all(
    [...all, ...all].map(async (replica) => {
      for (let leftMs = ms; leftMs > 0; leftMs = end - performance.now()) {
        const leases = await lease(replica, { waitMs: Math.ceil(leftMs), maxContacts: 5, ...fields });
        if (leases.length > 0) await reportAll(replica, leases, "completed");
      }
    }),
  );
}

/** When the leases were given, by the rows. */
async function leasedAt(jobIds: readonly string[]): Promise<number[]> {
  const rows = await parts.db
    .selectFrom("all_attempts")
    .select("leased_at")
    .where("job_id", "in", jobIds)
    .orderBy("leased_at")
    .execute();
  return rows.map(({ leased_at }) => leased_at.getTime());
}

/** The calls of these jobs, by the rows. */
async function callsOf(jobIds: readonly string[]): Promise<Call[]> {
  const rows = await parts.db
    .selectFrom("all_attempts")
    .select(["leased_at", "ended_at"])
    .where("job_id", "in", jobIds)
    .execute();
  return rows.map(({ leased_at, ended_at }) => ({
    fromMs: leased_at.getTime(),
    untilMs: ended_at?.getTime() ?? Infinity,
  }));
}

const spanOf = (times: readonly number[]): number => (times.at(-1) ?? 0) - (times[0] ?? 0);

const aPacedJob = (fields: Partial<NewJob>) =>
  runJob(parts, { contacts: makeContacts(2_000), concurrentCallLimit: 1_000, ...fields });

describe("the pace of a job", () => {
  test("is held over three replicas in every span, ten seconds included, and is reached", async () => {
    const jobId = await aPacedJob({ callsPerSecond: 20 });
    await work(12_000);
    const times = await leasedAt([jobId]);
    expect(tooFast(times, 20)).toEqual([]);
    // A busy machine may be late; one that only looked at its floor would give six.
    expect(times.length).toBeGreaterThan(0.7 * 20 * (spanOf(times) / 1_000));
    expect(spanOf(times)).toBeGreaterThan(8_000);
  }, 60_000);

  test("of 1,000 a second is not passed in any ten seconds, beside both limits, over three replicas", async () => {
    const jobId = await aPacedJob({ callsPerSecond: 1_000, contacts: makeContacts(10_000) });
    await parts.jobs.addContacts(onJob(parts, jobId), makeContacts(5_000, 10_000));
    await limitOrganization(parts, 300);
    await parts.jobs.update(onJob(parts, jobId), { concurrentCallLimit: 200 });
    const slower = await aPacedJob({ callsPerSecond: 100, concurrentCallLimit: 50 });
    await work(13_000, { maxContacts: 50 });
    const times = await leasedAt([jobId]);
    expect(mostIn(10_000, times)).toBeLessThanOrEqual(10_200);
    expect(mostIn(1_000, times)).toBeLessThanOrEqual(1_152);
    expect(mostIn(10_000, await leasedAt([slower]))).toBeLessThanOrEqual(1_020);
    expect(mostAtOnce(await callsOf([jobId]))).toBeLessThanOrEqual(200);
    expect(mostAtOnce(await callsOf([jobId, slower]))).toBeLessThanOrEqual(300);
    // Nobody says how fast a busy machine is; some of them come together.
    expect(times.length).toBeGreaterThan(1_000);
  }, 120_000);

  test("gives no burst after a time in which nobody asked", async () => {
    await aPacedJob({ callsPerSecond: 100 });
    expect(await lease(parts, { maxContacts: 1_000 })).toHaveLength(1);
    await parts.db
      .updateTable("batch_jobs")
      .set({ next_call_at: sql<Date>`clock_timestamp() - interval '1 hour'` })
      .where("organization_id", "=", parts.caller.organizationId)
      .execute();
    expect(await lease(parts, { maxContacts: 1_000 })).toHaveLength(16);
  });

  test("holds up no other job", async () => {
    const slow = await aPacedJob({ callsPerSecond: 0.01 });
    const free = await aPacedJob({});
    const leases = await lease(parts, { maxContacts: 10 });
    const count = (jobId: string) => leases.filter((given) => given.jobId === jobId).length;
    expect([count(slow), count(free)]).toEqual([1, 9]);
    expect(await lease(parts, { maxContacts: 10 })).toMatchObject(
      Array.from({ length: 10 }, () => ({ jobId: free })),
    );
  });

  test("that is raised holds for the next call, and so does one that is lowered", async () => {
    const jobId = await aPacedJob({ callsPerSecond: 0.01 });
    await leaseOne(parts);
    expect(await lease(parts)).toEqual([]);
    await parts.jobs.update(onJob(parts, jobId), { callsPerSecond: 2 });
    await leaseOne(parts, { waitMs: 30_000 });
    await parts.jobs.update(onJob(parts, jobId), { callsPerSecond: 0.01 });
    await leaseOne(parts, { waitMs: 30_000 });
    expect(await lease(parts, { waitMs: 1_000 })).toEqual([]);
    await parts.jobs.update(onJob(parts, jobId), { callsPerSecond: null });
    expect(await lease(parts, { maxContacts: 50 })).toHaveLength(50);
  }, 60_000);

  test("wakes a worker that waits, and who asks meanwhile finds nothing", async () => {
    await aPacedJob({ callsPerSecond: 0.3 });
    await leaseOne(parts);
    const waiting = leaseOne(all[1] ?? parts, { waitMs: 50_000 });
    expect(await lease(parts)).toEqual([]);
    const began = performance.now();
    await waiting;
    // Far less than its floor, and than its own time.
    expect(performance.now() - began).toBeLessThan(30_000);
  }, 60_000);
});

describe("the pace of an organization", () => {
  test("is held over all of its jobs and replicas, and is reached", async () => {
    const jobs = [await aPacedJob({}), await aPacedJob({ callsPerSecond: 500 })];
    await setPace(20);
    await work(4_000);
    const times = await leasedAt(jobs);
    expect(tooFast(times, 20)).toEqual([]);
    expect(times.length).toBeGreaterThan(0.7 * 20 * (spanOf(times) / 1_000));
    expect(spanOf(times)).toBeGreaterThan(2_000);
    await setPace(null);
    expect(await lease(parts, { maxContacts: 300 })).toHaveLength(300);
  }, 60_000);
});

/** What the transaction gives of contacts that were chosen before, as if there were no pace. */
async function open(jobId: string, numbers: readonly number[], most = 10): Promise<number> {
  const taker = { workerId: "worker-1", requestId: "", ticket: 0, most, durationMs: 60_000 };
  const offers = [offerOf(jobId, numbers)];
  const { leases, left } = await openLeases(parts.db, parts.caller.organizationId, offers, [taker]);
  expect([...leases.flat().map(({ number }) => number), ...left.flat()]).toEqual(numbers);
  return leases.flat().length;
}

const after = (ms: number) => sql<Date>`clock_timestamp() + ${ms}::float8 * interval '1 ms'`;

test.each([
  ["neither a pace nor a limit that grows", null, null, null],
  ["a pace that nobody has used", 100, null, null],
  ["a pace whose next call is due for long", 100, -3_600_000, null],
  ["a slow pace whose next call is due for long", 2, -3_600_000, null],
  ["a pace whose next call is to come", 100, 3_600_000, null],
  ["a limit that grows", null, null, 7_000_000],
  ["a limit that has grown", null, null, 1_000],
  ["both", 40, -3_600_000, 50_000_000],
])(
  "the look before a lease and the lease allow as many calls under %s",
  async (_, rate, nextMs, rampUpMs) => {
    const jobId = await runJob(parts, { contacts: makeContacts(60), concurrentCallLimit: 50 });
    await parts.db
      .updateTable("batch_jobs")
      .set({
        calls_per_second: rate,
        next_call_at: nextMs === null ? null : after(nextMs),
        ramp_up_ms: rampUpMs,
        started_at: after(-3_600_000),
      })
      .where("id", "=", jobId)
      .execute();
    const looked = await parts.db
      .selectFrom("batch_jobs as b")
      .select([callsAllowed("b").as("byPace"), limitNow("b").as("byLimit")])
      .where("id", "=", jobId)
      .executeTakeFirstOrThrow();
    const numbers = Array.from({ length: 60 }, (__, i) => i + 1);
    expect(await open(jobId, numbers, 60)).toBe(Math.min(looked.byPace ?? Infinity, looked.byLimit));
  },
);

test.each([
  ["the pace of a job", { callsPerSecond: 0.1 }, null],
  ["the pace of an organization", {}, 0.1],
  ["a limit that grows", { rampUpMs: 3_600_000 }, null],
])("%s is judged by the lease, whatever was seen before", async (_, fields, ofOrganization) => {
  const jobId = await aPacedJob(fields);
  await setPace(ofOrganization);
  await parts.db.updateTable("organizations").set({ next_call_at: null }).execute();
  expect([await open(jobId, [1, 2, 3]), await open(jobId, [2, 3])]).toEqual([1, 0]);
});

/** Lets a job have started so long ago. */
async function startedAgo(jobId: string, ms: number): Promise<void> {
  await parts.db
    .updateTable("batch_jobs")
    .set({ started_at: sql<Date>`clock_timestamp() - ${ms} * interval '1 millisecond'` })
    .where("id", "=", jobId)
    .execute();
}

describe("a limit that is ramped up", () => {
  test("begins with one call and grows evenly to the whole", async () => {
    const jobId = await runJob(parts, {
      contacts: makeContacts(100),
      concurrentCallLimit: 11,
      rampUpMs: 1_000_000,
    });
    const given: number[] = [];
    for (const ms of [0, 150_000, 550_000, 950_000, 1_000_000, 9_000_000]) {
      await startedAgo(jobId, ms);
      given.push((await lease(parts, { maxContacts: 100 })).length);
    }
    expect(given).toEqual([1, 1, 4, 4, 1, 0]);
  });

  test("wakes a worker that waits when it grows", async () => {
    const jobId = await runJob(parts, {
      contacts: makeContacts(3),
      concurrentCallLimit: 2,
      rampUpMs: 100_000,
    });
    await leaseOne(parts);
    await startedAgo(jobId, 99_000);
    const began = performance.now();
    await leaseOne(parts, { waitMs: 50_000 });
    expect(performance.now() - began).toBeLessThan(30_000);
  }, 60_000);
});

const countOf = (leases: readonly Lease[], jobId: string) =>
  leases.filter((given) => given.jobId === jobId).length;

describe("priorities", () => {
  test("share the organization's room in their proportion, however it is asked for", async () => {
    await limitOrganization(parts, 30);
    const high = await aPacedJob({ priority: 10 });
    const low = await aPacedJob({ priority: 5 });
    const leases: Lease[] = [];
    for (let asked = 0; asked < 20; asked += 1) leases.push(...(await lease(parts)));
    leases.push(...(await lease(parts, { maxContacts: 30 })));
    expect([countOf(leases, high), countOf(leases, low)]).toEqual([20, 10]);
    const ended = leases.filter(({ jobId }) => jobId === low).slice(0, 4);
    await reportAll(parts, ended, "completed");
    const next = await lease(parts, { maxContacts: 30 });
    expect([countOf(next, high), countOf(next, low)]).toEqual([0, 4]);
  });

  test("that are changed hold for what becomes free", async () => {
    await limitOrganization(parts, 12);
    const first = await aPacedJob({});
    const second = await aPacedJob({});
    const leases = [...(await lease(parts, { maxContacts: 12 }))];
    expect([countOf(leases, first), countOf(leases, second)]).toEqual([6, 6]);
    await parts.jobs.update(onJob(parts, first), { priority: 10 });
    await parts.jobs.update(onJob(parts, second), { priority: 2 });
    await reportAll(parts, leases, "completed");
    const next = await lease(parts, { maxContacts: 12 });
    expect([countOf(next, first), countOf(next, second)]).toEqual([10, 2]);
  });

  test("let no job starve, where one call goes on at a time", async () => {
    await limitOrganization(parts, 1);
    const jobs = [await aPacedJob({ priority: 10 }), await aPacedJob({ priority: 1 })];
    const called = new Set<string>();
    for (let asked = 0; asked < 500 && called.size < jobs.length; asked += 1) {
      const leases = await lease(parts);
      for (const { jobId } of leases) called.add(jobId);
      await reportAll(parts, leases, "completed");
    }
    expect(called).toEqual(new Set(jobs));
  });
});
