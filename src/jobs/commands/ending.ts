import type { Logger } from "pino";
import type { Database } from "../../postgres/connections/database.ts";
import { dueEnds, endDueJobs, nextEndAt } from "../../postgres/jobs/ends.ts";
import { type Alarm, createAlarm } from "../../timing/alarm.ts";
import { msUntil } from "../../timing/loop.ts";
import type { Clock } from "../../vitals/clock.ts";
import { startServiceLoop } from "../../vitals/loops.ts";
import type { DoRedisHalves } from "./redis-halves.ts";

/*
 * The end of a job at its `end_at` is Postgres's alone: no lease is given from that instant on, whoever has come to end
 * the job by then, and its end is found by an index. So a lost Redis has no part in it, and any replica does it.
 */

type Deps = {
  readonly db: Database;
  readonly doRedisHalves: DoRedisHalves;
  readonly clock: Clock;
  readonly logger: Logger;
};

const batchSize = 1_000;
/** The longest sleep. */
const longestSleepMs = 1_000;
/** A job that somebody has locked is looked at again after this; nobody waits for it. */
const lockedPauseMs = 50;

/** Ends the jobs whose end has come; Postgres decides which replica does. Answers when to look again, in ms. */
export async function runEndPass({ db, doRedisHalves, clock, logger }: Deps): Promise<number> {
  const due = await dueEnds(db, batchSize);
  let count = 0;
  for (const [organizationId, own] of Map.groupBy(due, (job) => job.organizationId)) {
    const ended = await endDueJobs(
      db,
      organizationId,
      own.map(({ id }) => id),
    );
    count += ended.length;
    for (const { id, status, expired } of ended) {
      logger.info({ batchJobId: id, status, expired }, "batch job ended, since its end has come");
    }
    const commands = ended.map(({ id, revision, scheduledJobId, zoneSets }) => {
      const list = { change: "unlink", key: { id, organizationId }, revision, zoneSets } as const;
      return { key: undefined, answer: {}, redisHalf: { takeOff: scheduledJobId, list } };
    });
    await Promise.all(doRedisHalves(db, organizationId, commands));
  }
  if (due.length === batchSize && count > 0) return 0;
  if (count < due.length) return lockedPauseMs;
  return msUntil(await nextEndAt(db), clock, longestSleepMs);
}

/** Ends jobs when their end comes, until disposed; `ring` tells of an end that was set. */
export function startEnding(deps: Deps): AsyncDisposable & Pick<Alarm, "ring"> {
  const alarm = createAlarm();
  const loop = startServiceLoop("the ending of jobs at their time", {
    pass: () => runEndPass(deps),
    alarm,
    retryMs: longestSleepMs,
    logger: deps.logger,
  });
  return { ring: alarm.ring, [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose]() };
}
