import type { Logger } from "pino";
import type { StartedJob } from "./fan-out.ts";
import { replaceTraces } from "../postgres/leasing/traces.ts";
import type { OpenSpan, Traces } from "../vitals/traces.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import {
  type StartedBatchJob,
  type Trx,
  lockScheduledJob,
  standingEntries,
  startDueJobs,
} from "../postgres/jobs/batch-jobs.ts";
import { type Database, isPostgresUnavailable } from "../postgres/connections/database.ts";
import type { Entry } from "../redis/schedule.ts";

/** What became of entries that were due. */
export type DueOutcome = {
  /** These stand for nothing any more. */
  readonly done: readonly string[];
  /** These stand for a start at another time than the schedule had. */
  readonly later: readonly Entry[];
  /** The rows of these are locked by somebody, who may be about to start, move or cancel their jobs. */
  readonly locked: readonly LockedEntry[];
  /** These run now, and have nothing on their lists yet. */
  readonly started: readonly DueStart[];
};

/** A job that was started since its time has come, with what its workers need of it. */
export type DueStart = StartedJob &
  Pick<StartedBatchJob, "concurrentCallLimit" | "maxAttempts" | "fromPhoneNumberId">;

/** An entry whose job's row was locked, and for how long its time has come. */
export type LockedEntry = { readonly scheduledJobId: string; readonly overdueMs: number };

export type DueStarts = {
  /**
   * Starts the jobs of entries whose time has come by the database's clock, and waits for nobody. Any number of
   * callers may be given the same entries: each job is started by one of them, and the others find nothing to start.
   * Throws if Postgres fails.
   */
  startDue(scheduledJobIds: readonly string[]): Promise<DueOutcome>;
  /**
   * Starts the job of one entry that is due, in its turn among those who want its row, for which it waits as long as
   * any statement waits for a lock.
   */
  startInTurn(scheduledJobId: string): Promise<readonly StartedJob[]>;
};

export function createDueStarts(deps: {
  db: Database;
  metrics: Metrics;
  logger: Logger;
  traces?: Traces | undefined;
}): DueStarts {
  const { db, metrics, logger, traces } = deps;

  /** Tells of starts that have been committed; answers the jobs that run. */
  function note(jobs: readonly StartedBatchJob[]): DueStart[] {
    const running: DueStart[] = [];
    for (const job of jobs) {
      const fields = { batchJobId: job.id, contacts: job.totalContacts, startLagMs: job.startLagMs };
      if (job.status !== "running") {
        const why =
          job.failureReason === "start_missed"
            ? "was longer past than it allows, or its end has come"
            : "came while it had no contacts";
        logger.warn(fields, `batch job failed: its time ${why}`);
        continue;
      }
      if (job.startLagMs !== null) metrics.startLagSeconds.observe(job.startLagMs / 1000);
      logger.info(fields, "batch job started");
      const key = { id: job.id, organizationId: job.organizationId };
      const { revision, totalContacts, zoneSets, concurrentCallLimit, maxAttempts, fromPhoneNumberId } = job;
      running.push({
        key,
        revision,
        totalContacts,
        zoneSets,
        concurrentCallLimit,
        maxAttempts,
        fromPhoneNumberId,
      });
    }
    return running;
  }

  /** Starts jobs in a transaction, where traces are kept: each start is a span that follows from what scheduled it. */
  async function startIn(work: (trx: Trx) => Promise<StartedBatchJob[]>): Promise<StartedBatchJob[]> {
    const { rows, spans } = await db.transaction().execute(async (trx) => {
      const started = await work(trx);
      return { rows: started, spans: await traceStarts(trx, started) };
    });
    for (const span of spans) span.end();
    return rows;
  }

  async function traceStarts(trx: Trx, rows: readonly StartedBatchJob[]): Promise<OpenSpan[]> {
    if (traces === undefined) return [];
    const spans = rows.map((row) =>
      traces.beginOwn("start of a batch job", {
        "callsheet.batch_job.id": row.id,
        "callsheet.organization": row.organizationId,
        "callsheet.start_lag_ms": row.startLagMs ?? 0,
      }),
    );
    const kept = rows.flatMap(({ id, organizationId }, i) => {
      const trace = spans[i]?.trace;
      return trace === undefined ? [] : [{ id, organizationId, traceparent: trace.traceparent }];
    });
    const before = await replaceTraces(trx, kept);
    for (const [i, { id }] of rows.entries()) {
      const from = before.get(id);
      if (from !== undefined) spans[i]?.trace?.follows(from);
    }
    return spans;
  }

  const start = (ids: readonly string[]): Promise<StartedBatchJob[]> =>
    traces === undefined ? startDueJobs(db, ids) : startIn((trx) => startDueJobs(trx, ids));

  /** The jobs that were started, and the entries of those that cannot be, which do not hold up the others. */
  type Started = { readonly jobs: readonly DueStart[]; readonly failed: readonly string[] };

  /** Starts what is free and due: together, or where Postgres refuses that, each half by itself. */
  async function startFree(ids: readonly string[]): Promise<Started> {
    try {
      return { jobs: note(await start(ids)), failed: [] };
    } catch (error) {
      if (isPostgresUnavailable(error)) throw error;
      if (ids.length > 1) return await startApart(ids);
      logger.warn({ err: error, scheduledJobId: ids[0] }, "a due job could not be started");
      return { jobs: [], failed: ids };
    }
  }

  /**
   * Throws nothing, because some may have been started: what could not be tried comes due again when its claim runs
   * out.
   */
  async function startApart(ids: readonly string[]): Promise<Started> {
    const middle = Math.ceil(ids.length / 2);
    const halves: Started[] = [];
    for (const half of [ids.slice(0, middle), ids.slice(middle)]) {
      halves.push(await startFree(half).catch(() => ({ jobs: [], failed: half })));
    }
    return { jobs: halves.flatMap(({ jobs }) => jobs), failed: halves.flatMap(({ failed }) => failed) };
  }

  return {
    async startDue(scheduledJobIds) {
      const ids = scheduledJobIds.filter(isUuid);
      const { jobs, failed } = await startFree(ids);
      // What is left was locked by somebody, was not due by the database's clock, or stands for nothing.
      const left = jobs.length === ids.length ? [] : ids.filter((id) => !failed.includes(id));
      const standing = await standingEntries(db, left);
      const later = standing
        .filter(({ overdueMs }) => overdueMs < 0)
        .map(({ scheduledJobId, scheduledStartTime }): Entry => ({
          scheduledJobId,
          scheduledStartTimeMs: scheduledStartTime.getTime(),
        }));
      const due = standing.filter(({ overdueMs }) => overdueMs >= 0).map((entry) => entry.scheduledJobId);
      // The time of some may have come only since they were tried.
      const again = due.length === 0 ? { jobs: [], failed: [] } : await startFree(due);
      const locked = await standingEntries(
        db,
        due.length === again.jobs.length ? [] : due.filter((id) => !again.failed.includes(id)),
      );
      const kept = new Set([
        ...failed,
        ...again.failed,
        ...[...later, ...locked].map((entry) => entry.scheduledJobId),
      ]);
      return {
        done: scheduledJobIds.filter((id) => !kept.has(id)),
        later,
        locked,
        started: [...jobs, ...again.jobs],
      };
    },

    async startInTurn(scheduledJobId) {
      const started = await startIn(async (trx) => {
        const job = await lockScheduledJob(trx, scheduledJobId);
        return job === undefined ? [] : await startDueJobs(trx, [scheduledJobId]);
      });
      return note(started);
    },
  };
}
