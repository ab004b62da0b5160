import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { createAhead } from "../../src/leasing/ahead.ts";
import type { Lease, LeaseRound } from "../../src/leasing/lease-round.ts";
import { createLeasing } from "../../src/leasing/leasing.ts";
import { nextReadyAt } from "../../src/postgres/leasing/candidates.ts";
import { always, moveOpening, openingOf } from "../support/hours.ts";
import { eventually } from "../support/eventually.ts";
import type { Parts } from "../support/parts.ts";
import { inNewOrganizations } from "../support/replicas.ts";
import { lease, leaseOne, reportAndLease, runJob } from "./leases.ts";

let parts: Parts;
inNewOrganizations((given) => (parts = given));

const hourMs = 60 * 60 * 1_000;

/** The same clock, which stands still so long before the organization may have contacts to give. */
async function stopBefore(ms: number): Promise<{ clock: Parts["clock"]; readyMs: number }> {
  const { readyAt } = await nextReadyAt(parts.db, parts.caller.organizationId);
  if (readyAt === null) throw new Error("there is no time to wait for");
  const readyMs = readyAt.getTime();
  return { clock: { ...parts.clock, now: () => readyMs - ms }, readyMs };
}

/** Looks as ever; tells for which time before. */
const lookedAt = (tell: (asOf: Date | undefined) => unknown): LeaseRound => ({
  ...parts.round,
  async prepare(organizationId, demands, choice) {
    await tell(choice.asOf);
    return await parts.round.prepare(organizationId, demands, choice);
  },
});

/** For which times a worker that waits a while has contacts looked for, if any; nothing can be leased yet. */
async function timesLookedFor(clock: Parts["clock"]): Promise<Date[]> {
  const times: Date[] = [];
  const round = lookedAt((asOf) => {
    if (asOf !== undefined) times.push(asOf);
  });
  await using leasing = createLeasing({ ...parts, round, clock, longestSleepMs: hourMs });
  expect(await lease({ ...parts, leasing }, { waitMs: 300, maxContacts: 5 })).toEqual([]);
  return times;
}

/** A job that runs, and whose hours begin in an hour. */
async function runClosed(): Promise<string> {
  const jobId = await runJob(parts, { callingHours: always });
  await eventually(async () => expect((await openingOf(parts, jobId)).next_look_at).not.toBeNull());
  await moveOpening(parts, jobId, { fromMs: hourMs, untilMs: 2 * hourMs });
  return jobId;
}

const listOf = (jobId: string): Promise<string[]> =>
  parts.redis.lrange(parts.keys.contacts({ id: jobId, organizationId: parts.caller.organizationId }), 0, -1);

describe("contacts whose hours are about to begin", () => {
  test("are looked for once, a little before, and are leased no earlier for it", async () => {
    const jobId = await runClosed();
    const { clock, readyMs } = await stopBefore(3);
    expect(await timesLookedFor(clock)).toEqual([new Date(readyMs + 1)]);
    await eventually(async () => expect(await listOf(jobId)).toEqual(["1", "2", "3"]));
  });

  test("are looked for by whatever turn comes then, known from when the one before was", async () => {
    const soon = await runClosed();
    const later = await runClosed();
    await moveOpening(parts, later, { fromMs: 2 * hourMs, untilMs: 3 * hourMs });
    const { opensAt } = await nextReadyAt(parts.db, parts.caller.organizationId);
    const [firstMs = 0, secondMs = 0] = opensAt.map((at) => at.getTime());
    let nowMs = firstMs - 3;
    const looks: (Date | undefined)[] = [];
    const round = lookedAt((asOf) => looks.push(asOf));
    await using leasing = createLeasing({
      ...parts,
      round,
      clock: { ...parts.clock, now: () => nowMs },
      longestSleepMs: hourMs,
    });
    const leased = lease({ ...parts, leasing }, { waitMs: 60_000, jobIds: [soon, later] });
    await eventually(async () => expect(looks).toContainEqual(new Date(firstMs + 1)));
    const before = looks.length;
    nowMs = secondMs - 3;
    leasing.ring(parts.caller.organizationId);
    await eventually(async () => expect(looks.length).toBeGreaterThan(before));
    expect(looks[before]).toEqual(new Date(secondMs + 1));
    await moveOpening(parts, soon, { fromMs: -hourMs, untilMs: hourMs });
    leasing.ring(parts.caller.organizationId);
    expect(await leased).toHaveLength(1);
  });

  test("are looked for sooner where turns take long, but not by one that records reports", async () => {
    const open = await runJob(parts, { concurrentCallLimit: 10 });
    const closed = await runClosed();
    const { opensAt } = await nextReadyAt(parts.db, parts.caller.organizationId);
    const opensMs = opensAt[0]?.getTime() ?? 0;
    let nowMs = opensMs - hourMs / 2;
    const looks: (Date | undefined)[] = [];
    // Twice as long as anything is looked for before.
    const round = lookedAt((asOf) => {
      looks.push(asOf);
      return delay(40);
    });
    const clock = { ...parts.clock, now: () => nowMs };
    await using leasing = createLeasing({ ...parts, round, clock, longestSleepMs: hourMs });
    const slow = { ...parts, leasing };
    const waiting = lease(slow, { waitMs: 60_000, jobIds: [closed] });
    const leases: Lease[] = [];
    for (let i = 0; i < 3; i += 1) leases.push(await leaseOne(slow, { jobIds: [open] }));
    const before = looks.length;
    nowMs = opensMs - 8;
    const [done = ""] = leases.map(({ leaseId }) => leaseId);
    await reportAndLease(slow, [{ leaseId: done, outcome: "completed" }], { jobIds: [closed] });
    expect(looks.slice(before, before + 1)).toEqual([undefined]);
    await eventually(async () => expect(looks).toContainEqual(new Date(opensMs + 1)));
    await moveOpening(parts, closed, { fromMs: -hourMs, untilMs: hourMs });
    nowMs = opensMs + 1;
    leasing.ring(parts.caller.organizationId);
    expect(await waiting).toHaveLength(1);
  });

  test("are not looked for long before", async () => {
    await runClosed();
    const { clock } = await stopBefore(21);
    expect(await timesLookedFor(clock)).toEqual([]);
  });
});

test("when hours begin next is known for the next four times, each once", async () => {
  const days = [5, 1, 2, 2, 3, 4];
  for (const day of days) {
    const jobId = await runClosed();
    await sql`
      update zone_sets set open_from = ${`2099-01-0${day}T09:00:00Z`} where job_id = ${jobId}`.execute(
      parts.db,
    );
  }
  const { opensAt } = await nextReadyAt(parts.db, parts.caller.organizationId);
  expect(opensAt).toEqual([1, 2, 3, 4].map((day) => new Date(`2099-01-0${day}T09:00:00Z`)));
});

test("what a pace allows is not looked for before", async () => {
  const jobId = await runJob(parts, { callsPerSecond: 1 });
  await sql`
    update batch_jobs set next_call_at = clock_timestamp() + interval '1 hour' where id = ${jobId}
  `.execute(parts.db);
  const { clock } = await stopBefore(3);
  expect(await timesLookedFor(clock)).toEqual([]);
});

const at = (nowMs: number) => createAhead({ now: () => nowMs, measure: async () => {} });

describe("the time that contacts were looked for", () => {
  test("is waited for", async () => {
    const opening = { atMs: 1_004, isLookedFor: false };
    const ahead = at(1_000);
    expect(ahead.lookFor(opening, 5)).toEqual(new Date(1_005));
    const began = performance.now();
    await ahead.waitOut(opening);
    expect(performance.now() - began).toBeGreaterThanOrEqual(4);
  });

  test("is none once it has come, or was looked for", () => {
    expect(at(1_000).lookFor({ atMs: 1_000, isLookedFor: false }, 5)).toBeUndefined();
    const opening = { atMs: 1_004, isLookedFor: false };
    expect([opening, opening].map((one) => at(1_000).lookFor(one, 5))).toEqual([new Date(1_005), undefined]);
    expect(at(1_000).lookFor(undefined, 5)).toBeUndefined();
  });
});

describe("how long before contacts are looked for", () => {
  test("is as long as turns of their organization take, within bounds, and not what a single one took", () => {
    const ahead = at(1_000);
    expect(ahead.msOf(1)).toBe(5);
    ahead.noteTurn(1, 10_000);
    expect(ahead.msOf(1)).toBe(6);
    for (let i = 0; i < 50; i += 1) ahead.noteTurn(1, 12);
    expect(ahead.msOf(1)).toBeCloseTo(13, 1);
    for (let i = 0; i < 50; i += 1) ahead.noteTurn(1, 100);
    expect(ahead.msOf(1)).toBe(20);
    for (let i = 0; i < 200; i += 1) ahead.noteTurn(1, 1);
    expect([ahead.msOf(1), ahead.msOf(2)]).toEqual([5, 5]);
  });
});
