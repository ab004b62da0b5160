import type { Logger } from "pino";
import type { Database } from "../../postgres/connections/database.ts";
import { dueResumes, nextResumeAt, resumeDueJob } from "../../postgres/jobs/resumes.ts";
import { msUntil } from "../../timing/loop.ts";
import type { Clock } from "../../vitals/clock.ts";
import { startServiceLoop } from "../../vitals/loops.ts";
import type { DoRedisHalves } from "./redis-halves.ts";

type Deps = {
  readonly db: Database;
  readonly doRedisHalves: DoRedisHalves;
  readonly clock: Clock;
  readonly logger: Logger;
};

const batchSize = 100;
const pauseMs = 1_000;

/**
 * Lets the paused jobs go on whose time to do so has come; Postgres decides which replica does. One that cannot be
 * locked holds up no other. Answers when to look again, in ms.
 */
export async function runResumePass({ db, doRedisHalves, clock, logger }: Deps): Promise<number> {
  for (const key of await dueResumes(db, batchSize)) {
    try {
      const resumed = await resumeDueJob(db, key);
      if (resumed === undefined) continue;
      const { status, revision, zoneSets } = resumed;
      logger.info({ batchJobId: key.id, status }, "batch job goes on by itself");
      if (status !== "running") continue;
      const redisHalf = { list: { change: "create", key, revision, zoneSets } } as const;
      await Promise.all(doRedisHalves(db, key.organizationId, [{ key: undefined, answer: {}, redisHalf }]));
    } catch (error) {
      logger.warn({ err: error, batchJobId: key.id }, "a paused job could not go on; it is tried again");
    }
  }
  return msUntil(await nextResumeAt(db), clock, pauseMs);
}

/** Lets paused jobs go on when their time comes, until disposed. */
export function startResuming(deps: Deps): AsyncDisposable {
  const { logger } = deps;
  return startServiceLoop("the resuming of paused jobs", {
    pass: () => runResumePass(deps),
    retryMs: pauseMs,
    logger,
  });
}
