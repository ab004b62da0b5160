import type { Keys } from "./keys.ts";
import { type RedisClient, redisStep, runScript } from "./connection.ts";
import { script } from "./script.ts";
import { onMessage } from "./signals.ts";

/**
 * An entry of the schedule and its score: the instant at which the job that has this `scheduled_job_id` is to start, in
 * unix ms, or a later one while the entry is held.
 */
export type Entry = { readonly scheduledJobId: string; readonly scheduledStartTimeMs: number };

export type Claim = {
  /** The entries that are due, earliest first, with the times under which they stood. */
  readonly entries: readonly Entry[];
  /** When the next of the others is due. */
  readonly nextDueMs: number | undefined;
};

export type Schedule = ReturnType<typeof createSchedule>;

const change = script(`
-- Puts entries on the schedule, or moves them, and then takes entries off. Wakes the replicas if one that it has put
-- there now stands before all others.
--   KEYS[1] due   ARGV[1] wake channel   ARGV[2] how many are put there
--   ARGV[3], [5], … due time of each, unix ms   ARGV[4], [6], … its scheduled_job_id   then those to take off
-- Returns for each of those to take off 1, or 0 if it was not there
local last = 2 + 2 * tonumber(ARGV[2])
local put = {}
for i = 3, last, 2 do
  redis.call("ZADD", KEYS[1], ARGV[i], ARGV[i + 1])
  put[ARGV[i + 1]] = true
end
local removed = {}
for i = last + 1, #ARGV do removed[i - last] = redis.call("ZREM", KEYS[1], ARGV[i]) end
if last > 2 then
  local first = redis.call("ZRANGE", KEYS[1], 0, 0, "WITHSCORES")
  if put[first[1]] then redis.call("PUBLISH", ARGV[1], first[2]) end
end
return removed
`);

const claim = script(`
-- Takes the due entries, at most a limit, and moves them forward, so that they come due again if nobody settles them.
--   KEYS[1] due   ARGV[1] now, unix ms   ARGV[2] limit   ARGV[3] the time to move them to, unix ms
-- Returns the next due time or false, then scheduled_job_id and due time of each entry
local due = redis.call("ZRANGE", KEYS[1], "-inf", ARGV[1], "BYSCORE", "LIMIT", 0, ARGV[2], "WITHSCORES")
for i = 1, #due, 2 do redis.call("ZADD", KEYS[1], ARGV[3], due[i]) end
local next = redis.call("ZRANGE", KEYS[1], 0, 0, "WITHSCORES")
table.insert(due, 1, next[2] or false)
return due
`);

const text = (value: unknown): string => (typeof value === "string" ? value : String(value));

/** The Redis sorted set of scheduled starts. It may be wrong, late or empty: Postgres decides what starts. */
export function createSchedule(redis: RedisClient, keys: Keys) {
  return {
    /**
     * Puts entries on the schedule, or moves them, and then takes entries off, in one step. Answers which of the
     * latter were there.
     */
    async change(entries: {
      readonly put: readonly Entry[];
      readonly takeOff: readonly string[];
    }): Promise<ReadonlySet<string>> {
      const { put, takeOff } = entries;
      const removed = await redisStep("changing the schedule", () =>
        runScript(
          redis,
          change,
          [keys.due],
          [
            keys.wake,
            put.length,
            ...put.flatMap(({ scheduledJobId, scheduledStartTimeMs }) => [
              scheduledStartTimeMs,
              scheduledJobId,
            ]),
            ...takeOff,
          ],
        ),
      );
      return new Set(takeOff.filter((_, i) => Array.isArray(removed) && removed[i] === 1));
    },

    /** Puts an entry on the schedule, or moves it. */
    async add(entry: Entry): Promise<void> {
      await this.change({ put: [entry], takeOff: [] });
    },

    /** Takes entries off; answers how many were there. */
    async removeAll(scheduledJobIds: readonly string[]): Promise<number> {
      if (scheduledJobIds.length === 0) return 0;
      return await redisStep("taking off the schedule", () => redis.zrem(keys.due, ...scheduledJobIds));
    },

    /**
     * Takes the due entries and moves them `holdMs` into the future: settle them before that with removeAll or
     * rescore.
     */
    async claim(nowMs: number, limit: number, holdMs: number): Promise<Claim> {
      const reply = await redisStep("claiming due entries", () =>
        runScript(redis, claim, [keys.due], [nowMs, limit, nowMs + holdMs]),
      );
      const [next, ...pairs] = Array.isArray(reply) ? reply : [];
      const entries: Entry[] = [];
      for (let i = 0; i < pairs.length; i += 2) {
        entries.push({ scheduledJobId: text(pairs[i]), scheduledStartTimeMs: Number(pairs[i + 1]) });
      }
      return { entries, nextDueMs: next === null || next === undefined ? undefined : Number(next) };
    },

    /** Moves entries that are still there. */
    async rescore(entries: readonly Entry[]): Promise<void> {
      if (entries.length === 0) return;
      const pairs = entries.flatMap(({ scheduledJobId, scheduledStartTimeMs }) => [
        scheduledStartTimeMs,
        scheduledJobId,
      ]);
      await redisStep("moving on the schedule", () => redis.zadd(keys.due, "XX", ...pairs));
    },

    /** Adds those entries that are not there; answers how many. */
    async addMissing(entries: readonly Entry[]): Promise<number> {
      if (entries.length === 0) return 0;
      const pairs = entries.flatMap(({ scheduledJobId, scheduledStartTimeMs }) => [
        scheduledStartTimeMs,
        scheduledJobId,
      ]);
      return await redisStep("adding to the schedule", async () => {
        const added = await redis.zadd(keys.due, "NX", ...pairs);
        if (Number(added) > 0) await redis.publish(keys.wake, "");
        return Number(added);
      });
    },

    /** The times under which these entries stand, in the order given; undefined for one that is not there. */
    async dueTimes(scheduledJobIds: readonly string[]): Promise<(number | undefined)[]> {
      if (scheduledJobIds.length === 0) return [];
      const scores = await redisStep("reading the schedule", () =>
        redis.zmscore(keys.due, ...scheduledJobIds),
      );
      return scores.map((score) => (score === null ? undefined : Number(score)));
    },

    /** About `count` entries and the cursor for the next ones; from "0" back to "0" is a pass over all. */
    async scan(cursor: string, count: number): Promise<{ cursor: string; scheduledJobIds: string[] }> {
      const [next, pairs] = await redisStep("reading the schedule", () =>
        redis.zscan(keys.due, cursor, "COUNT", count),
      );
      return { cursor: next, scheduledJobIds: pairs.filter((_, i) => i % 2 === 0) };
    },

    /** True if the sorted set has been filled from Postgres since Redis last lost its data. */
    async isFilled(): Promise<boolean> {
      return (await redisStep("reading the schedule", () => redis.exists(keys.sentinel))) === 1;
    },

    async markFilled(): Promise<void> {
      await redisStep("marking the schedule", () => redis.set(keys.sentinel, "1"));
    },

    /** Calls back when an entry came to stand before all others, on any replica. A call may be lost. */
    onWake: (subscriber: RedisClient, callback: () => void) => onMessage(subscriber, keys.wake, callback),
  };
}
