import { type RedisClient, redisStep, runScript } from "./connection.ts";
import type { JobKey, Keys } from "./keys.ts";
import { keysExpiryMs, reservationMs } from "./contact-list.ts";
import { script } from "./script.ts";

/** The list of a set of time zones that contacts of a job are in. */
type SetOfJob = JobKey & { readonly zoneSet: number };

export type Reservations = ReturnType<typeof createReservations>;

const take = script(`
-- Takes numbers off the heads of lists and reserves them.
--   KEYS[2i-1] contacts, KEYS[2i] reserved of the i-th list   ARGV[1] deadline, unix ms   ARGV[2] expiry of keys, ms
--   ARGV[2+i] how many of the i-th list, at most 1,000
-- Returns the numbers of each list
local taken = {}
for i = 1, #KEYS / 2 do
  local numbers = redis.call("LPOP", KEYS[2 * i - 1], ARGV[2 + i]) or {}
  if #numbers > 0 then
    local pairs = {}
    for n = 1, #numbers do
      pairs[2 * n - 1] = ARGV[1]
      pairs[2 * n] = numbers[n]
    end
    redis.call("ZADD", KEYS[2 * i], unpack(pairs))
    redis.call("PEXPIRE", KEYS[2 * i], ARGV[2])
  end
  taken[i] = numbers
end
return taken
`);

const settle = script(`
-- Ends reservations: the first numbers go back to the head of the list, in their order, the others are done with. Of
-- those that are not reserved any more nothing is done.
--   KEYS[1] contacts   KEYS[2] reserved   ARGV[1] expiry of keys, ms   ARGV[2] how many go back   ARGV[3..] numbers
local back = tonumber(ARGV[2])
for i = 2 + back, 3, -1 do
  if redis.call("ZREM", KEYS[2], ARGV[i]) == 1 then redis.call("LPUSH", KEYS[1], ARGV[i]) end
end
if #ARGV > 2 + back then redis.call("ZREM", KEYS[2], unpack(ARGV, 3 + back)) end
if back > 0 then redis.call("PEXPIRE", KEYS[1], ARGV[1]) end
return 1
`);

const giveBack = script(`
-- Puts numbers at the head of the list of a job that runs.
--   KEYS[1] position   KEYS[2] contacts   ARGV[1] expiry of keys, ms   ARGV[2..] numbers
-- Returns 1 put, 0 the job does not run
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
redis.call("LPUSH", KEYS[2], unpack(ARGV, 2))
redis.call("PEXPIRE", KEYS[2], ARGV[1])
return 1
`);

/**
 * The step between the list and Postgres: numbers that are taken off the list and not yet opened, or found not open.
 */
export function createReservations(redis: RedisClient, keys: Keys) {
  return {
    /** Takes numbers off the heads of these lists, whose jobs are of one organization; answers those of each. */
    async take(wanted: readonly { list: SetOfJob; count: number }[], nowMs: number): Promise<number[][]> {
      if (wanted.length === 0) return [];
      const reply = await redisStep("taking contacts off the lists", () =>
        runScript(
          redis,
          take,
          wanted.flatMap(({ list }) => [
            keys.contacts(list, list.zoneSet),
            keys.reserved(list, list.zoneSet),
          ]),
          [Math.ceil(nowMs) + reservationMs, keysExpiryMs, ...wanted.map(({ count }) => count)],
        ),
      );
      const taken: unknown[] = Array.isArray(reply) ? reply : [];
      return wanted.map((_, i) => {
        const numbers: unknown = taken[i];
        return Array.isArray(numbers) ? numbers.map(Number) : [];
      });
    },

    /** Ends reservations of a list: `back` goes to its head, `done` is done with. */
    async settle(
      list: SetOfJob,
      numbers: { back: readonly number[]; done: readonly number[] },
    ): Promise<void> {
      const { back, done } = numbers;
      if (back.length + done.length === 0) return;
      await redisStep("settling reservations", () =>
        runScript(
          redis,
          settle,
          [keys.contacts(list, list.zoneSet), keys.reserved(list, list.zoneSet)],
          [keysExpiryMs, back.length, ...back, ...done],
        ),
      );
    },

    /** Puts numbers at the head of a list, if its job runs. */
    async giveBack(list: SetOfJob, numbers: readonly number[]): Promise<void> {
      if (numbers.length === 0) return;
      await redisStep("giving contacts back", () =>
        runScript(
          redis,
          giveBack,
          [keys.position(list), keys.contacts(list, list.zoneSet)],
          [keysExpiryMs, ...numbers],
        ),
      );
    },
  };
}
