import type { Logger } from "pino";
import type { BatchJob } from "../domain/batch-job.ts";
import { type CountsAt, historyOf, slotMs } from "../domain/history.ts";
import { type JobKey, beforeAllJobs } from "../domain/job-id.ts";
import { databaseNow } from "../postgres/batch-jobs.ts";
import type { Shares } from "../postgres/connections.ts";
import type { Database } from "../postgres/database.ts";
import { jobsToNote, noteCounts, readNoted } from "../postgres/history.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";

const batchSize = 1_000;

/** Notes the counts of running jobs that have changed. */
export async function runHistoryPass(db: Database): Promise<void> {
  let after: JobKey = { organizationId: 0, id: beforeAllJobs };
  for (let full = true; full;) {
    const jobs = await jobsToNote(db, after, batchSize);
    for (const [organizationId, own] of Map.groupBy(jobs, (job) => job.organizationId)) {
      await noteCounts(
        db,
        organizationId,
        own.map(({ id }) => id),
      );
    }
    after = jobs.at(-1) ?? after;
    full = jobs.length === batchSize;
  }
}

/** Notes the counts of running jobs, once in each slot, until disposed. */
export function startHistory({ db, logger }: { db: Database; logger: Logger }): AsyncDisposable {
  return startServiceLoop("the noting of counts", {
    async pass() {
      await runHistoryPass(db);
      return jittered(slotMs);
    },
    retryMs: slotMs,
    logger,
  });
}

/** The counts of a job over time; none before it has started. */
export type ReadHistory = (job: BatchJob) => Promise<CountsAt[]>;

export const createHistory =
  ({ reads }: { reads: Shares }): ReadHistory =>
  async (job) => {
    if (job.startedAt === null) return [];
    const db = reads.of(job.organizationId);
    return historyOf(job, await readNoted(db, job), (await databaseNow(db)).getTime());
  };
