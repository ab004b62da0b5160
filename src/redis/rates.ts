import type { RateClass } from "../domain/rates.ts";
import type { Grant, Wanted } from "../timing/bucket.ts";
import { type RedisClient, redisStep, runScript } from "./connection.ts";
import type { Keys } from "./keys.ts";
import { script } from "./script.ts";

export type Buckets = ReturnType<typeof createBuckets>;

const take = script(`
-- Takes tokens out of a bucket. The key lives until the bucket is full again: so what it lacks is told by the clock of
-- Redis alone, and a full bucket is no key. It holds by how much less than a ms too long it lives.
--   KEYS[1] bucket   ARGV[1] tokens that come in a second, which is a full bucket   ARGV[2] wanted
--   ARGV[3] at most so many out of the upper half, wanted or not
-- Returns how many were granted, and the ms until there is one again
local perSecond, want, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lacksMs = math.max(0, redis.call("PTTL", KEYS[1]) - tonumber(redis.call("GET", KEYS[1]) or 0))
local free = math.floor((1000 - lacksMs) * perSecond / 1000 + 1e-6)
local spare = math.min(most, free - math.ceil(perSecond / 2))
local granted = math.max(0, math.min(free, math.max(want, spare)))
if granted > 0 then
  lacksMs = lacksMs + granted * 1000 / perSecond
  local livesMs = math.ceil(lacksMs)
  redis.call("SET", KEYS[1], string.format("%.6f", livesMs - lacksMs), "PX", livesMs)
end
return { granted, math.max(0, math.ceil(lacksMs + 1000 / perSecond - 1000)) }
`);

/** The buckets of calls that all replicas take from: one for each class of an organization. */
export function createBuckets(redis: RedisClient, keys: Keys) {
  return {
    async take(
      organizationId: number,
      rateClass: RateClass,
      { perSecond, want, most }: Wanted,
    ): Promise<Grant> {
      const key = keys.bucket(organizationId, rateClass);
      const reply = await redisStep("taking calls out of a bucket", () =>
        runScript(redis, take, [key], [perSecond, want, most]),
      );
      const [granted = 0, waitMs = 0] = Array.isArray(reply) ? reply.map(Number) : [];
      return { granted, waitMs };
    },
  };
}
