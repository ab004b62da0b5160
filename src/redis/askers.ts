import type { JobKey } from "../domain/jobs/job-id.ts";
import { type RedisClient, redisStep, runScript } from "./connection.ts";
import type { Keys } from "./keys.ts";
import { script } from "./script.ts";

export type Askers = ReturnType<typeof createAskers>;

/** Of one organization; those that go first are forgotten. */
const mostNames = 1_000;

const note = script(`
-- Notes for a time that contacts are asked for. A longer time that was noted stays.
--   KEYS[1] asked   ARGV[1] now, unix ms   ARGV[2] until when, unix ms
--   ARGV[3] how many names are kept   ARGV[4...] names
for i = 4, #ARGV do redis.call("ZADD", KEYS[1], "GT", ARGV[2], ARGV[i]) end
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", ARGV[1])
redis.call("ZREMRANGEBYRANK", KEYS[1], 0, -1 - ARGV[3])
redis.call("PEXPIRE", KEYS[1], math.max(redis.call("PTTL", KEYS[1]), ARGV[2] - ARGV[1]))
return 1
`);

const has = script(`
--   KEYS[1] asked   ARGV[1] now, unix ms   ARGV[2...] names
-- Returns 1 if one of the names is noted still
for _, score in ipairs(redis.call("ZMSCORE", KEYS[1], unpack(ARGV, 2))) do
  if score and tonumber(score) > tonumber(ARGV[1]) then return 1 end
end
return 0
`);

/** The name of all jobs of an organization. */
const allJobs = "all";

/** Of which jobs workers ask for contacts: noted for all replicas, for a time by the clock that all of them keep. */
export function createAskers(redis: RedisClient, keys: Keys, clock: { now(): number }) {
  return {
    /** Notes that somebody asks for contacts of these jobs, or of all of the organization's if there are none. */
    async note(organizationId: number, jobIds: readonly string[], forMs: number): Promise<void> {
      const names = jobIds.length === 0 ? [allJobs] : jobIds;
      const nowMs = Math.floor(clock.now());
      const args = [nowMs, nowMs + Math.ceil(forMs), mostNames, ...names];
      await redisStep("noting who asks for contacts", () =>
        runScript(redis, note, [keys.asked(organizationId)], args),
      );
    },

    /** Whether somebody asks for contacts of the job. */
    async has({ organizationId, id }: JobKey): Promise<boolean> {
      const reply = await redisStep("reading who asks for contacts", () =>
        runScript(redis, has, [keys.asked(organizationId)], [Math.floor(clock.now()), allJobs, id]),
      );
      return reply === 1;
    },
  };
}
