import { type NumbersInSet, countOf } from "../domain/contacts/numbers.ts";
import { type JobInSets, type JobKey, type Keys, setsOf } from "./keys.ts";
import type { Redis } from "ioredis";
import { type RedisClient, mastersOf, redisStep, runScript } from "./connection.ts";
import { type Position, type Run, atStart, randomParts, readPosition, writePosition } from "./position.ts";
import { script } from "./script.ts";
import { pushSteps, stepsOf } from "./steps.ts";
import { coalesceByKey } from "../timing/coalesce.ts";

export type ContactList = ReturnType<typeof createContactList>;

/** The keys go by themselves this long after the last look of a sweep, should nobody have been able to unlink them. */
export const keysExpiryMs = 60 * 60 * 1000;

/** Numbers that nobody settles, because their replica died, go back to the list after this. */
export const reservationMs = 5_000;

/** For scripts. */
const startOver = `
-- True if the job has no position of this or a later revision; its lists are empty then.
local function startOver(position, revision, ...)
  local seen = redis.call("GET", position)
  if seen and tonumber(string.match(seen, "^%d+")) >= tonumber(revision) then return false end
  redis.call("UNLINK", ...)
  return true
end
`;

const create = script(`
-- Gives a job its position, at 0, and empty lists, unless it has a position of this or a later revision.
--   KEYS[1] position   KEYS[2], [4], … contacts   KEYS[3], [5], … reserved
--   ARGV[1] revision   ARGV[2] position   ARGV[3] expiry, ms
-- Returns 1 created, 0 left alone
${startOver}
if not startOver(KEYS[1], ARGV[1], unpack(KEYS, 2)) then return 0 end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1
`);

/** For scripts. 4,000 numbers stay below Lua's limit of arguments for one call. */
const pushRange = `
-- Puts the numbers from one to another at the end of a list, and answers its length.
local function pushRange(key, from, to)
  local length = 0
  for low = from, to, 4000 do
    local numbers = {}
    for n = low, math.min(low + 3999, to) do numbers[n - low + 1] = n end
    length = redis.call("RPUSH", key, unpack(numbers))
  end
  return length
end
`;

const begin = script(`
-- Gives jobs of one organization that run for the first time their positions and lists with their first numbers, each
-- unless it has a position of this or a later revision. Says so on the work channel.
--   KEYS[1], [4], … position   KEYS[2], [5], … contacts   KEYS[3], [6], … reserved
--   ARGV[1] expiry, ms   ARGV[2] work channel   ARGV[3] organization
--   ARGV[4], [7], … revision   ARGV[5], [8], … position   ARGV[6], [9], … the last number, at least 1
-- Returns how many numbers are on the lists that were begun
${pushRange}
${startOver}
local listed = 0
for i = 1, #KEYS, 3 do
  local revision, position, last = unpack(ARGV, i + 3, i + 5)
  if startOver(KEYS[i], revision, KEYS[i + 1], KEYS[i + 2]) then
    listed = listed + pushRange(KEYS[i + 1], 1, tonumber(last))
    redis.call("PEXPIRE", KEYS[i + 1], ARGV[1])
    redis.call("SET", KEYS[i], position, "PX", ARGV[1])
  end
end
redis.call("PUBLISH", ARGV[2], ARGV[3])
return listed
`);

const append = script(`
-- Puts a chunk on lists and moves the position, if the position is the one that the chunk was read for. Says so on the
-- work channel if one of the lists was empty.
--   KEYS[1] position   KEYS[2], [3], … contacts   ARGV[1] position seen   ARGV[2] position after   ARGV[3] expiry, ms
--   ARGV[4] work channel   ARGV[5] organization
--   then for each of the lists: how many numbers, the first of them, and the steps from it to each, or none where all
--   follow it
-- Returns 1 appended or 0 left alone, and the position as it is now or false
${pushRange}
${pushSteps}
local at = redis.call("GET", KEYS[1])
if at ~= ARGV[1] then return { 0, at } end
local wasEmpty = false
for k = 2, #KEYS do
  local count, first, steps = tonumber(ARGV[3 * k]), tonumber(ARGV[3 * k + 1]), ARGV[3 * k + 2]
  local length = steps == "" and pushRange(KEYS[k], first, first + count - 1) or pushSteps(KEYS[k], first, steps)
  redis.call("PEXPIRE", KEYS[k], ARGV[3])
  wasEmpty = wasEmpty or length == count
end
if wasEmpty then redis.call("PUBLISH", ARGV[4], ARGV[5]) end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return { 1, ARGV[2] }
`);

const restart = script(`
-- Sets the position back to 0 under a new epoch, if it is the one that was seen and nothing is listed or reserved.
--   KEYS[1] position   KEYS[2], [4], … contacts   KEYS[3], [5], … reserved
--   ARGV[1] position seen   ARGV[2] position after   ARGV[3] expiry, ms
-- Returns 1 restarted, 0 left alone
if redis.call("GET", KEYS[1]) ~= ARGV[1] or redis.call("EXISTS", unpack(KEYS, 2)) > 0 then return 0 end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1
`);

const reset = script(`
-- Empties lists and sets their position back to 0 under a new epoch, if the position is the one that was seen.
--   KEYS[1] position   KEYS[2], [4], … contacts   KEYS[3], [5], … reserved
--   ARGV[1] position seen   ARGV[2] position after   ARGV[3] expiry, ms
-- Returns 1 started over, 0 left alone
if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
redis.call("UNLINK", unpack(KEYS, 2))
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1
`);

const unlink = script(`
-- Removes the keys of a job, unless they are of a later revision.
--   KEYS[1] position   KEYS[2..] contacts and reserved   ARGV[1] revision
-- Returns how many keys were removed
local seen = redis.call("GET", KEYS[1])
if seen and tonumber(string.match(seen, "^%d+")) > tonumber(ARGV[1]) then return 0 end
return redis.call("UNLINK", unpack(KEYS))
`);

const look = script(`
-- Reads where jobs of one organization stand, puts off the expiry of their keys, and puts numbers back at the heads of
-- the lists whose reservation nobody settled in time, or was made by a clock that was ahead, at most 1,000 of each list
-- at once.
--   KEYS of each job: its position, then contacts and reserved of each of its lists
--   ARGV[1] expiry, ms   ARGV[2] now, unix ms   ARGV[3] the latest deadline that can have been given, unix ms
--   ARGV[4..] how many lists each job has
-- Returns of each job the position or false, how many numbers were put back, and of each of its lists how many are
-- listed or reserved
local found, key = {}, 1
for i = 4, #ARGV do
  redis.call("PEXPIRE", KEYS[key], ARGV[1])
  local job = { redis.call("GET", KEYS[key]), 0 }
  for list = key + 1, key + 2 * ARGV[i], 2 do
    local contacts, reserved = KEYS[list], KEYS[list + 1]
    local over = redis.call("ZRANGE", reserved, "-inf", ARGV[2], "BYSCORE", "LIMIT", 0, 1000)
    if #over == 0 then over = redis.call("ZRANGE", reserved, "(" .. ARGV[3], "+inf", "BYSCORE", "LIMIT", 0, 1000) end
    if #over > 0 then
      redis.call("ZREM", reserved, unpack(over))
      redis.call("LPUSH", contacts, unpack(over))
    end
    redis.call("PEXPIRE", contacts, ARGV[1])
    redis.call("PEXPIRE", reserved, ARGV[1])
    job[2] = job[2] + #over
    job[#job + 1] = redis.call("LLEN", contacts) + redis.call("ZCARD", reserved)
  end
  found[#found + 1] = job
  key = key + 1 + 2 * ARGV[i]
end
return found
`);

/** So many jobs, with so many lists, are looked at by one script, which takes Redis about a millisecond. */
const mostLookedAt = 100;

/** A job that runs for the first time since `revision`, and the last of the numbers to begin with, at least 1. */
export type Beginning = { readonly key: JobKey; readonly revision: number; readonly last: number };

/** What is seen of a job's lists: how many numbers are on each, by its set, and how many have come back. */
export type Look = {
  readonly position: Position | undefined;
  readonly lengths: readonly number[];
  readonly returned: number;
};

type Asked = { readonly job: JobInSets; readonly nowMs: number };
type Answer = { readonly read: () => Look };

/** Gathers jobs of which each has at most so many lists together, if there are several. */
function grouped(asked: readonly Asked[]): Asked[][] {
  const groups: Asked[][] = [];
  let room = 0;
  for (const one of asked) {
    const lists = setsOf(one.job).length;
    if (lists > room) {
      groups.push([]);
      room = mostLookedAt;
    }
    groups.at(-1)?.push(one);
    room -= lists;
  }
  return groups;
}

/**
 * The Redis lists of each running job's contact numbers, one for each set of time zones that they are in, and the
 * position beside them.
 */
export function createContactList(redis: RedisClient, keys: Keys) {
  const listsOf = (job: JobInSets) =>
    setsOf(job).flatMap((zoneSet) => [keys.contacts(job, zoneSet), keys.reserved(job, zoneSet)]);
  const of = (job: JobInSets) => [keys.position(job), ...listsOf(job)];

  async function lookAtAll(asked: readonly Asked[]): Promise<Look[]> {
    // The earliest, before which no reservation is over for anybody.
    const nowMs = Math.min(...asked.map((one) => one.nowMs));
    const reply = await redisStep("looking at a list", () =>
      runScript(
        redis,
        look,
        asked.flatMap(({ job }) => of(job)),
        [
          keysExpiryMs,
          Math.floor(nowMs),
          Math.ceil(nowMs) + 2 * reservationMs,
          ...asked.map(({ job }) => setsOf(job).length),
        ],
      ),
    );
    const found: unknown[] = Array.isArray(reply) ? reply : [];
    return asked.map((_, i) => {
      const one = found[i];
      const [position, returned, ...lengths] = Array.isArray(one) ? one : [];
      return { position: readPosition(position), lengths: lengths.map(Number), returned: Number(returned) };
    });
  }

  /**
   * What cannot be looked at with others is looked at alone: a key of one job that is not what it should be stops no
   * other.
   */
  async function lookApart(asked: readonly Asked[], failure: unknown): Promise<Answer[]> {
    if (asked.length === 1) {
      return [
        {
          read() {
            throw failure;
          },
        },
      ];
    }
    const looks = await Promise.allSettled(asked.map(async (one) => (await lookAtAll([one]))[0]));
    return looks.map((found) => ({
      read() {
        if (found.status === "rejected") throw found.reason;
        if (found.value === undefined) throw failure;
        return found.value;
      },
    }));
  }

  async function lookTogether(asked: readonly Asked[]): Promise<Answer[]> {
    try {
      return (await lookAtAll(asked)).map((found) => ({ read: () => found }));
    } catch (error) {
      return await lookApart(asked, error);
    }
  }

  const together = coalesceByKey<number, Asked, Answer>(
    async (_, asked) => (await Promise.all(grouped(asked).map(lookTogether))).flat(),
    mostLookedAt,
  );

  return {
    /** Gives a job that came to run at `revision` its position; a repetition leaves it alone. */
    async create(job: JobInSets, revision: number, run: Run = "again"): Promise<boolean> {
      const reply = await redisStep("creating a position", () =>
        runScript(redis, create, of(job), [revision, writePosition(atStart(revision, run)), keysExpiryMs]),
      );
      return reply === 1;
    },

    async position(job: JobKey): Promise<Position | undefined> {
      return readPosition(await redisStep("reading a position", () => redis.get(keys.position(job))));
    },

    /**
     * Gives jobs of one organization, all of whose contacts are in set 0, their positions and the numbers from 1 on on
     * their lists, and leaves those alone that have a position of this or a later revision. Answers how many numbers it
     * has put on lists.
     */
    async begin(organizationId: number, jobs: readonly Beginning[]): Promise<number> {
      const random = randomParts(jobs.length);
      const args = jobs.flatMap(({ revision, last }, i) => [
        revision,
        writePosition({ ...atStart(revision, "first", random.slice(i, i + 1)), last }),
        last,
      ]);
      return Number(
        await redisStep("beginning lists", () =>
          runScript(
            redis,
            begin,
            jobs.flatMap(({ key }) => of(key)),
            [keysExpiryMs, keys.work, organizationId, ...args],
          ),
        ),
      );
    },

    /**
     * Puts the numbers on the lists of their sets and moves the position from `seen` to `last`, or does neither because
     * the position has moved. Answers the position as it is then.
     */
    async append(
      job: JobKey,
      seen: Position,
      last: number,
      chunk: readonly NumbersInSet[],
    ): Promise<{ appended: boolean; position: Position | undefined }> {
      const after = writePosition({ epoch: seen.epoch, last });
      const lists = chunk.filter(({ numbers }) => countOf(numbers) > 0);
      const reply = await redisStep("putting contacts on the list", () =>
        runScript(
          redis,
          append,
          [keys.position(job), ...lists.map(({ zoneSet }) => keys.contacts(job, zoneSet))],
          [
            writePosition(seen),
            after,
            keysExpiryMs,
            keys.work,
            job.organizationId,
            ...lists.flatMap(({ numbers }) => {
              if ("first" in numbers) return [numbers.count, numbers.first, ""];
              const [first = 0] = numbers;
              return [numbers.length, first, stepsOf(numbers, first)];
            }),
          ],
        ),
      );
      const [appended, position] = Array.isArray(reply) ? reply : [];
      return { appended: appended === 1, position: readPosition(position) };
    },

    /** Starts over from 0 where nothing is left on the list; false if the position has moved or something is. */
    async restart(job: JobInSets, seen: Position, revision: number): Promise<boolean> {
      const reply = await redisStep("starting a position over", () =>
        runScript(redis, restart, of(job), [
          writePosition(seen),
          writePosition(atStart(revision, "again")),
          keysExpiryMs,
        ]),
      );
      return reply === 1;
    },

    /** Starts over from 0, whatever is on the list; false if the position has moved. */
    async startOver(job: JobInSets, seen: Position, revision: number): Promise<boolean> {
      const reply = await redisStep("starting a list over", () =>
        runScript(redis, reset, of(job), [
          writePosition(seen),
          writePosition(atStart(revision, "again")),
          keysExpiryMs,
        ]),
      );
      return reply === 1;
    },

    /**
     * Removes the keys of a job that stopped running at `revision`; those of a later run stay. True if there were any.
     */
    async unlink(job: JobInSets, revision: number): Promise<boolean> {
      const reply = await redisStep("removing a list", () => runScript(redis, unlink, of(job), [revision]));
      return Number(reply) > 0;
    },

    /**
     * The jobs of about `count` of the keys on each server, and the cursors for the next ones; from none on, a pass
     * over all keys is done when they are "0". A server that cannot be asked keeps its cursor.
     */
    async scan(
      cursors: ReadonlyMap<string, string>,
      count: number,
    ): Promise<{ cursors: Map<string, string>; jobs: JobInSets[]; failures: unknown[] }> {
      const next = new Map<string, string>();
      const jobs = new Map<string, ReturnType<Keys["readJob"]> & {}>();
      const failures: unknown[] = [];
      const scanOne = async (master: Redis): Promise<void> => {
        const name = `${master.options.host}:${master.options.port}`;
        const cursor = cursors.get(name) ?? "0";
        next.set(name, cursor);
        const [after, names] = await redisStep("looking for keys", () =>
          master.scan(cursor, "MATCH", keys.ofJobs, "COUNT", count),
        );
        next.set(name, after);
        for (const job of names.map(keys.readJob)) {
          if (job !== undefined && job.zoneSets > (jobs.get(job.id)?.zoneSets ?? 0)) jobs.set(job.id, job);
        }
      };
      await Promise.all(
        mastersOf(redis).map((one) => scanOne(one).catch((error) => void failures.push(error))),
      );
      return { cursors: next, jobs: [...jobs.values()], failures };
    },

    /**
     * Where the job stands, how many numbers are listed or reserved of each of its sets, and how many lost reservations
     * came back. Looks at jobs of one organization that come together share a script.
     */
    async look(job: JobInSets, nowMs: number): Promise<Look> {
      const { read: readLook } = await together(job.organizationId, { job, nowMs });
      return readLook();
    },
  };
}
