import { sql } from "kysely";
import type { Logger } from "pino";
import type { StartedJob } from "./fan-out.ts";
import type { Metrics } from "./metrics.ts";
import {
  type StartedJobRow,
  isUuid,
  lockScheduledJob,
  standingEntries,
  startDueJobs,
  startJob,
} from "./postgres/batch-jobs.ts";
import { type Database, isPostgresUnavailable } from "./postgres/database.ts";
import type { Entry } from "./redis/schedule.ts";

/** What became of entries that were due. */
export type DueOutcome = {
  /** These stand for nothing any more. */
  readonly done: readonly string[];
  /** These stand for a start at another time than the schedule had. */
  readonly later: readonly Entry[];
  /** These run now, and have nothing on their lists yet. */
  readonly started: readonly StartedJob[];
};

/**
 * Starts the jobs of entries whose time has come by the database's clock. Any number of callers may be given the same
 * entries: each job is started by one of them, and the others find nothing to start. Throws if Postgres fails.
 */
export type StartDue = (scheduledJobIds: readonly string[]) => Promise<DueOutcome>;

export function createStartDue(deps: { db: Database; metrics: Metrics; logger: Logger }): StartDue {
  const { db, metrics, logger } = deps;

  /** Tells of starts that have been committed; answers the jobs that run. */
  function note(jobs: readonly StartedJobRow[]): StartedJob[] {
    const running: StartedJob[] = [];
    for (const job of jobs) {
      const fields = { batchJobId: job.id, contacts: job.total_contacts, startLagMs: job.start_lag_ms };
      if (job.status !== "running") {
        logger.warn(fields, "batch job failed: its time came while it had no contacts");
        continue;
      }
      if (job.start_lag_ms !== null) metrics.startLagSeconds.observe(job.start_lag_ms / 1000);
      logger.info(fields, "batch job started");
      const key = { id: job.id, organizationId: job.organization_id };
      running.push({ key, revision: job.revision, total: job.total_contacts });
    }
    return running;
  }

  /** Starts the job of one entry that is due, waiting for its lock. */
  async function startOne(scheduledJobId: string): Promise<StartedJob[]> {
    const started = await db.transaction().execute(async (trx) => {
      // Whoever holds the lock is about to start, move or cancel the job; it comes due again if not.
      await sql`set local lock_timeout = '250ms'`.execute(trx);
      const job = await lockScheduledJob(trx, scheduledJobId);
      // An entry has one time for ever: what was due still is.
      return job && (await startJob(trx, job.id, "due"));
    });
    return started === undefined ? [] : note([started]);
  }

  return async function startDue(scheduledJobIds) {
    const ids = scheduledJobIds.filter(isUuid);
    const together = await startDueJobs(db, ids).catch((error: unknown) => {
      if (isPostgresUnavailable(error)) throw error;
      // One job that cannot be started must not hold up the others: each is tried by itself.
      logger.error({ err: error }, "due jobs could not be started together");
      return [];
    });
    const started = note(together);
    // What is left was locked by someone, is not due by the database's clock, or stands for nothing.
    const standing = together.length === ids.length ? [] : await standingEntries(db, ids);
    const later = standing
      .filter(({ isDue }) => !isDue)
      .map(({ scheduledJobId, dueAt }): Entry => ({ scheduledJobId, dueMs: dueAt.getTime() }));
    const failed: string[] = [];
    for (const { scheduledJobId } of standing.filter(({ isDue }) => isDue)) {
      try {
        started.push(...(await startOne(scheduledJobId)));
      } catch (error) {
        // It comes due again when its claim runs out; the others do not wait for it.
        logger.warn({ err: error, scheduledJobId }, "a due job could not be started");
        failed.push(scheduledJobId);
      }
    }
    const kept = new Set([...later.map((entry) => entry.scheduledJobId), ...failed]);
    return { done: scheduledJobIds.filter((id) => !kept.has(id)), later, started };
  };
}
