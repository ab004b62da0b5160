import type { JobKey } from "../domain/job-id.ts";
import { type RedisClient, redisStep, runScript } from "./connection.ts";
import type { Keys } from "./keys.ts";
import { script } from "./script.ts";

export type Askers = ReturnType<typeof createAskers>;

/** Of one organization; those that go first are forgotten. */
const mostNames = 1_000;

const note = script(`
-- Notes for a time, by the clock of Redis, that contacts are asked for. A longer time that was noted stays.
--   KEYS[1] asked   ARGV[1] for how long, ms   ARGV[2] how many names are kept   ARGV[3...] names
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 3, #ARGV do redis.call("ZADD", KEYS[1], "GT", now + ARGV[1], ARGV[i]) end
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
redis.call("ZREMRANGEBYRANK", KEYS[1], 0, -1 - ARGV[2])
local last = redis.call("ZRANGE", KEYS[1], -1, -1, "WITHSCORES")
if last[2] then redis.call("PEXPIREAT", KEYS[1], last[2]) end
return 1
`);

const has = script(`
--   KEYS[1] asked   ARGV names
-- Returns 1 if one of the names is noted still
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, score in ipairs(redis.call("ZMSCORE", KEYS[1], unpack(ARGV))) do
  if score and tonumber(score) > now then return 1 end
end
return 0
`);

/** The name of all jobs of an organization. */
const allJobs = "all";

/** Of which jobs workers ask for contacts: noted for all replicas, for a time. */
export function createAskers(redis: RedisClient, keys: Keys) {
  return {
    /** Notes that somebody asks for contacts of these jobs, or of all of the organization's if there are none. */
    async note(organizationId: number, jobIds: readonly string[], forMs: number): Promise<void> {
      const names = jobIds.length === 0 ? [allJobs] : jobIds;
      await redisStep("noting who asks for contacts", () =>
        runScript(redis, note, [keys.asked(organizationId)], [forMs, mostNames, ...names]),
      );
    },

    /** Whether somebody asks for contacts of the job. */
    async has({ organizationId, id }: JobKey): Promise<boolean> {
      const reply = await redisStep("reading who asks for contacts", () =>
        runScript(redis, has, [keys.asked(organizationId)], [allJobs, id]),
      );
      return reply === 1;
    },
  };
}
