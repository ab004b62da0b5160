import type { Installation } from "../postgres/doctor.ts";
import type { RedisClient } from "../redis/connection.ts";
import { checkFitness } from "../redis/fitness.ts";
import type { Keys } from "../redis/keys.ts";
import { createPeek } from "../redis/peek.ts";
import { type Check, fault, ok, warning } from "./finding.ts";
import { judgeClock } from "./postgres-checks.ts";

/** What Redis alone tells, and whose keys it has. */
export function redisChecks(deps: {
  redis: RedisClient;
  keys: Keys;
  installation: () => Promise<Installation | undefined>;
}): Check[] {
  const { redis, keys, installation } = deps;
  const peek = createPeek(redis, keys);
  return [
    {
      check: "policy of Redis",
      async look() {
        const fitness = await checkFitness(redis);
        if (fitness.verdict === "fit") return ok("Redis is new enough, and evicts nothing.");
        return fitness.verdict === "untold" ? warning(fitness.sentence) : fault(fitness.sentence);
      },
    },
    {
      check: "health of Redis",
      async look() {
        for (const field of await peek.infos()) {
          if (field("rdb_last_bgsave_status") === "err" || field("aof_last_write_status") === "err")
            return fault("Redis cannot write to its disk, and may refuse all writes for that; see its log.");
          const [used, most] = [Number(field("used_memory")), Number(field("maxmemory"))];
          if (most > 0 && used > 0.9 * most)
            return warning(
              "Redis has used nine tenths of its maxmemory, and refuses writes beyond it; a million contacts that wait take some 5 MB.",
            );
        }
        return ok("Redis has room, and no trouble with its disk.");
      },
    },
    {
      check: "clock of Redis",
      async look() {
        const fromMs = Date.now();
        const times = await peek.times();
        const verdicts = times.map((time) => judgeClock("Redis", time, { fromMs, untilMs: Date.now() }));
        return verdicts.find(({ level }) => level !== "ok") ?? ok("The clock of Redis is this machine's.");
      },
    },
    {
      check: "installation",
      async look() {
        const ours = await installation();
        if (ours === undefined) return warning("No replica has started on this database yet.");
        if (ours.prefix !== keys.prefix)
          return fault(
            `REDIS_PREFIX is ${keys.prefix}, but the replicas of this database use ${ours.prefix}; set it so here too.`,
          );
        const theirs = await peek.installation();
        if (theirs === null)
          return warning("Redis does not know whose keys it has: no replica has used it since it was empty.");
        if (theirs !== ours.id)
          return fault(
            `The keys under ${keys.prefix} in this Redis are another database's; give this one another Redis, or a database number of its own.`,
          );
        return ok("Redis has the keys of this database.");
      },
    },
  ];
}
