import type { Logger } from "pino";
import type { BatchJob } from "../domain/jobs/batch-job.ts";
import { type CountsAt, historyOf, slotMs } from "../domain/jobs/history.ts";
import { databaseNow } from "../postgres/jobs/batch-jobs.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import type { Database } from "../postgres/connections/database.ts";
import { jobsToNote, noteCounts, readNoted } from "../postgres/jobs/history.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import { noteOfAll } from "./noting.ts";

/** Notes the counts of running jobs that have changed. */
export const runHistoryPass = (db: Database): Promise<void> => noteOfAll(db, jobsToNote, noteCounts);

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
