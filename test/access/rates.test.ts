import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { createLimiter } from "../../src/access/rates.ts";
import type { BatchJobError } from "../../src/domain/batch-job-error.ts";
import type { Caller } from "../../src/domain/caller.ts";
import { noRates, type RateClass } from "../../src/domain/rates.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { createBuckets } from "../../src/redis/rates.ts";
import { eventually } from "../support/eventually.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { startProxy } from "../support/servers/proxy.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

let organizations = 0;
const newCaller = (): Caller => ({ ...parts.caller, organizationId: 1_000 + (organizations += 1) });

/** A replica's limiter, how often it asked Redis, and what it refused. */
function replica(perSecond: number, { redis } = parts) {
  let asked = 0;
  const limited: RateClass[] = [];
  const buckets = createBuckets(redis, parts.keys);
  const limiter = createLimiter({
    buckets: {
      take(...of) {
        asked += 1;
        return buckets.take(...of);
      },
    },
    rates: { ...noRates, command: perSecond },
    onLimited: (rateClass) => limited.push(rateClass),
    logger: parts.logger,
  });
  return { ...limiter, asked: () => asked, limited };
}

const admitted = async (limiter: Pick<ReturnType<typeof replica>, "admit">, caller: Caller) => {
  try {
    await limiter.admit(caller, "command");
    return true;
  } catch (error) {
    expect(error).toMatchObject({ reason: "rate_limited" });
    return false;
  }
};

/** Calls as fast as it can for so long, a few at a time; answers how many were let through, and for how long. */
async function press(limiter: ReturnType<typeof replica>, caller: Caller, forMs: number) {
  const began = performance.now();
  let count = 0;
  while (performance.now() - began < forMs) {
    const calls = await Promise.all(Array.from({ length: 5 }, () => admitted(limiter, caller)));
    count += calls.filter(Boolean).length;
    await delay(2);
  }
  return { count, seconds: (performance.now() - began) / 1_000 };
}

const sum = (counts: readonly { count: number }[]) => counts.reduce((all, { count }) => all + count, 0);

/** A second's worth at once, and then as many as come. */
const expected = (perSecond: number, runs: readonly { seconds: number }[]) =>
  perSecond * (1 + Math.max(...runs.map(({ seconds }) => seconds)));

describe("three replicas together", () => {
  test.each([40, 400])("let %i calls a second through, whatever more is asked for", async (perSecond) => {
    const replicas = [replica(perSecond), replica(perSecond), replica(perSecond)];
    const caller = newCaller();
    const runs = await Promise.all(replicas.map((one) => press(one, caller, 4_000)));
    const most = expected(perSecond, runs);
    expect(sum(runs)).toBeGreaterThan(most * 0.95);
    expect(sum(runs)).toBeLessThan(most * 1.05);
    // None of them is left out.
    for (const { count } of runs) expect(count).toBeGreaterThan(most / 12);
    // Whoever is sent away costs no question.
    const asked = replicas.reduce((all, one) => all + one.asked(), 0);
    expect(asked).toBeLessThan((replicas.length * 4_000) / 50 + 30);
  });
});

test("an organization far below its limit is let through, and asks Redis about once a second", async () => {
  const one = replica(1_000);
  const caller = newCaller();
  for (let i = 0; i < 60; i += 1) {
    expect(await admitted(one, caller)).toBe(true);
    await delay(20);
  }
  expect(one.asked()).toBeLessThanOrEqual(6);
});

test("a burst of a second's worth is let through, and what is beyond it is not", async () => {
  const one = replica(200);
  const caller = newCaller();
  const burst = await Promise.all(Array.from({ length: 300 }, () => admitted(one, caller)));
  const count = burst.filter(Boolean).length;
  expect(count).toBeGreaterThanOrEqual(200);
  expect(count).toBeLessThan(260);
  expect(one.limited).toHaveLength(300 - count);
});

test("a refusal says what the limit is, and when the call may succeed", async () => {
  const one = replica(2);
  const comingBack: Promise<boolean>[] = [];
  for (const caller of Array.from({ length: 20 }, newCaller)) {
    const refusals: BatchJobError[] = [];
    for (let i = 0; i < 10; i += 1) {
      await Promise.resolve(one.admit(caller, "command")).catch((error) => refusals.push(error));
      // Thrown at once, once there is none.
      if (refusals.length > 0) break;
    }
    const [refusal] = refusals;
    expect(refusal).toMatchObject({ reason: "rate_limited", metadata: { class: "command", limit: "2" } });
    expect(refusal?.message).toMatch(
      /^The organization may make 2 calls of the class command a second, and has made as many; try again in 0\.\d+ s, and make fewer\.$/,
    );
    const retryDelayMs = refusal?.retryDelayMs ?? 0;
    expect(retryDelayMs).toBeGreaterThanOrEqual(100);
    // As by a clock that is cut to milliseconds, and a timer that goes off early.
    comingBack.push(delay(retryDelayMs - 5).then(() => admitted(one, caller)));
  }
  expect(await Promise.all(comingBack)).not.toContain(false);
});

test("an organization's own rate goes before the service's, 0 is no limit, and a change is followed at once", async () => {
  const one = replica(1);
  const caller = newCaller();
  const withOwn = (command: number) => ({ ...caller, rates: { command } });
  const count = async (who: Caller) =>
    (await Promise.all(Array.from({ length: 50 }, () => admitted(one, who)))).filter(Boolean).length;
  expect(await count(withOwn(0))).toBe(50);
  expect(one.asked()).toBe(0);
  expect(await count(withOwn(20))).toBe(20);
  expect(await count(withOwn(0))).toBe(50);
  expect(await count(caller)).toBeLessThanOrEqual(1);
});

test("other classes and other organizations are not limited by it", async () => {
  const one = replica(3);
  const caller = newCaller();
  await Promise.all(Array.from({ length: 20 }, () => admitted(one, caller)));
  expect(await admitted(one, caller)).toBe(false);
  await one.admit(caller, "read");
  expect(await admitted(one, newCaller())).toBe(true);
});

describe("while Redis is away", () => {
  test("a replica gives the whole rate by itself, and no more", async () => {
    const redis = openRedis("redis://127.0.0.1:1");
    try {
      const one = replica(100, { ...parts, redis });
      const caller = newCaller();
      for (let i = 0; i < 20; i += 1) expect(await admitted(one, caller)).toBe(true);
      const run = await press(one, caller, 3_000);
      const most = expected(100, [run]);
      expect(run.count).toBeGreaterThan(most * 0.85);
      expect(run.count).toBeLessThan(most * 1.05);
    } finally {
      redis.disconnect();
    }
  });

  test("calls wait for a Redis that hangs no longer than a moment, and are limited by it again when it is back", async () => {
    await using proxy = await startProxy(inject("redisUrl"));
    const redis = openRedis(proxy.url);
    try {
      const one = replica(50, { ...parts, redis });
      await eventually(async () => expect(await redis.ping()).toBe("PONG"));
      const caller = newCaller();
      proxy.freeze();
      const began = performance.now();
      for (let i = 0; i < 30; i += 1) expect(await admitted(one, caller)).toBe(true);
      // One wait, and not one for each.
      expect(performance.now() - began).toBeLessThan(1_500);
      await proxy.mend();
      const other = replica(50);
      await eventually(async () => {
        await press(one, caller, 100);
        // The bucket in Redis is used up by the one, and so for the other too.
        expect((await press(other, caller, 100)).count).toBeLessThan(10);
        expect(other.limited.length).toBeGreaterThan(0);
      });
    } finally {
      redis.disconnect();
    }
  });
});
