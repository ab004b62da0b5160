import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { Caller } from "../domain/caller.ts";
import type { RateClass, Rates } from "../domain/rates.ts";
import type { Buckets } from "../redis/rates.ts";
import { type Grant, type Wanted, takeTokens } from "../timing/bucket.ts";
import { patiently } from "../timing/patience.ts";
import { createRecent } from "../timing/recent.ts";

/** A replica takes as many calls at a time as there may be in so long, and has so long to make use of them. */
const grantMs = 100;
const keptMs = 1_000;

/** Once there were too few, nobody asks again before this; callers are sent away without a question to Redis. */
const pauseMs = 50;

/** Callers who are refused are told to come back at least so much later, and at most. */
const shortestRetryMs = 100;
const longestRetryMs = 5_000;

/** Clocks are cut to milliseconds, and timers go off a little early: whoever comes back as told is not too early. */
const slackMs = 10;

/** How long calls wait for Redis, and how long they do without it once it did not answer. */
const patienceMs = 100;
const withoutRedisMs = 1_000;

/** The organizations that called last; whoever is forgotten asks anew. */
const mostKnown = 10_000;

/** What this replica may let through of one class of an organization. */
type Pool = {
  readonly perSecond: number;
  left: number;
  /** When what is left is void. */
  untilMs: number;
  /** There is nothing to be had before. */
  closedUntilMs: number;
  /** When there would have been a call for everybody who was refused. */
  lineEndsMs: number;
  asking: Promise<void> | undefined;
  waiting: number;
  /** How many calls came since it was last asked for more. */
  came: number;
  askedMs: number;
  /** When this replica's own bucket, for while Redis is away, is full. */
  fullAtMs: number;
};

const newPool = (perSecond: number): Pool => ({
  perSecond,
  left: 0,
  untilMs: 0,
  closedUntilMs: 0,
  lineEndsMs: 0,
  asking: undefined,
  waiting: 0,
  came: 0,
  askedMs: -Infinity,
  fullAtMs: 0,
});

export type Limiter = {
  /**
   * Counts a call of the class. It may be made if nothing is thrown, at once or by what is answered: `rate_limited`
   * says when it may.
   */
  admit(caller: Caller, rateClass: RateClass): Promise<void> | undefined;
  /** Likewise; answers whether it may be made. */
  mayCall(caller: Caller, rateClass: RateClass): Promise<boolean>;
};

/**
 * Limits how many calls the organizations make, on all replicas together. Replicas take calls out of a bucket in Redis,
 * a tenth of a second's worth at a time while it is more than half full, and else what they need: one far below its
 * limit asks Redis once a second, one at its limit twenty times. While Redis is away each replica gives the whole rate
 * by itself: nobody is refused for that, and nobody is without a limit.
 */
export function createLimiter(deps: {
  readonly buckets: Buckets;
  /** What an organization has that has no rates of its own. */
  readonly rates: Rates;
  readonly onLimited: (rateClass: RateClass) => void;
  readonly logger: Logger;
}): Limiter {
  const { buckets, rates, onLimited, logger } = deps;
  const pools = createRecent<string, Pool>(mostKnown * Object.keys(rates).length);
  let askRedisFromMs = -Infinity;

  function poolOf(name: string, perSecond: number): Pool {
    const known = pools.get(name);
    if (known?.perSecond === perSecond) return known;
    const pool = newPool(perSecond);
    pools.set(name, pool);
    return pool;
  }

  async function takeFrom(pool: Pool, caller: Caller, rateClass: RateClass, wanted: Wanted): Promise<Grant> {
    if (performance.now() >= askRedisFromMs) {
      try {
        const taking = buckets.take(caller.organizationId, rateClass, wanted);
        const grant = await patiently(patienceMs, taking, () => new Error("Redis is silent"));
        if (askRedisFromMs > 0) logger.info("rates are shared by the replicas again");
        askRedisFromMs = -Infinity;
        return grant;
      } catch (error) {
        if (askRedisFromMs < 0) {
          logger.warn({ err: error }, "each replica gives the whole rate by itself while Redis fails");
        }
        askRedisFromMs = performance.now() + withoutRedisMs;
      }
    }
    const nowMs = performance.now();
    const { granted, waitMs, lacksMs } = takeTokens(Math.max(0, pool.fullAtMs - nowMs), wanted);
    pool.fullAtMs = nowMs + lacksMs;
    return { granted, waitMs };
  }

  async function ask(pool: Pool, caller: Caller, rateClass: RateClass): Promise<void> {
    // What came with the same packet comes along.
    await nextTurn();
    const { perSecond, came, askedMs } = pool;
    const nowMs = performance.now();
    const within = (ms: number) => Math.ceil((perSecond * ms) / 1_000);
    const most = within(grantMs);
    // As many as came since the last time will come until the next, which may be long where the machine is busy.
    const expected = Math.min(came, within(Math.min(Math.max(grantMs, nowMs - askedMs), keptMs)));
    const want = Math.max(pool.waiting, expected);
    pool.came = 0;
    pool.askedMs = nowMs;
    const { granted, waitMs } = await takeFrom(pool, caller, rateClass, { perSecond, want, most });
    const answeredMs = performance.now();
    pool.left = granted;
    pool.untilMs = answeredMs + keptMs;
    if (granted < want) pool.closedUntilMs = answeredMs + Math.max(pauseMs, waitMs);
  }

  function takeOne(pool: Pool): boolean {
    if (pool.left === 0) return false;
    pool.left -= 1;
    return true;
  }

  /** Takes one that is here; false if there is none now, undefined if it must be asked for. */
  function takeHere(pool: Pool): boolean | undefined {
    const nowMs = performance.now();
    pool.came += 1;
    if (nowMs < pool.untilMs && takeOne(pool)) return true;
    return nowMs < pool.closedUntilMs ? false : undefined;
  }

  async function waitForOne(pool: Pool, caller: Caller, rateClass: RateClass): Promise<boolean> {
    pool.waiting += 1;
    try {
      for (;;) {
        await (pool.asking ??= ask(pool, caller, rateClass).finally(() => (pool.asking = undefined)));
        if (takeOne(pool)) return true;
        if (performance.now() < pool.closedUntilMs) return false;
      }
    } finally {
      pool.waiting -= 1;
    }
  }

  function refusal(pool: Pool, rateClass: RateClass): BatchJobError {
    onLimited(rateClass);
    const { perSecond } = pool;
    const nowMs = performance.now();
    // All who are refused are not told the same moment: they would come back together.
    const longestMs = nowMs + longestRetryMs;
    pool.lineEndsMs = Math.min(longestMs, Math.max(pool.lineEndsMs, nowMs) + 1_000 / perSecond);
    const retryDelayMs = Math.ceil(
      Math.max(shortestRetryMs, slackMs + Math.max(pool.lineEndsMs, pool.closedUntilMs) - nowMs),
    );
    return new BatchJobError(
      "rate_limited",
      `The organization may make ${perSecond} calls of the class ${rateClass} a second, and has made as many; try again in ${retryDelayMs / 1_000} s, and make fewer.`,
      { class: rateClass, limit: String(perSecond) },
      { retryDelayMs },
    );
  }

  async function admitLater(pool: Pool, caller: Caller, rateClass: RateClass): Promise<void> {
    if (!(await waitForOne(pool, caller, rateClass))) throw refusal(pool, rateClass);
  }

  function find({ organizationId, rates: own = {} }: Caller, rateClass: RateClass): Pool | undefined {
    const perSecond = own[rateClass] ?? rates[rateClass];
    return perSecond === 0 ? undefined : poolOf(`${organizationId} ${rateClass}`, perSecond);
  }

  return {
    admit(caller, rateClass) {
      const pool = find(caller, rateClass);
      const isThere = pool === undefined || takeHere(pool);
      if (isThere === true) return undefined;
      if (isThere === false) throw refusal(pool, rateClass);
      return admitLater(pool, caller, rateClass);
    },
    async mayCall(caller, rateClass) {
      const pool = find(caller, rateClass);
      if (pool === undefined) return true;
      const isGiven = takeHere(pool) ?? (await waitForOne(pool, caller, rateClass));
      if (!isGiven) onLimited(rateClass);
      return isGiven;
    },
  };
}
