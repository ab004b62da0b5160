import type { Logger } from "pino";
import type { Metrics } from "./metrics.ts";
import { readChunk } from "./postgres/contacts.ts";
import type { Database } from "./postgres/database.ts";
import type { ContactList } from "./redis/contact-list.ts";
import type { JobKey } from "./redis/keys.ts";
import { createTurns } from "./turns.ts";

/** Disposing stops the work between two chunks and tells of every job that is not done. */
export type FanOut = AsyncDisposable & {
  /**
   * Puts the pending contacts of a running job on its list, from its position on, and resolves when they all are or
   * the work has stopped on a failure, which is logged. A call during the work joins it, and contacts that were
   * committed before the call are on the list when it resolves.
   */
  run(job: JobKey): Promise<void>;
  /** True while this replica works on the job. */
  isRunning(jobId: string): boolean;
};

type Run = { promise: Promise<void>; again: boolean };

/** 5,000 numbers are one statement of about 3 ms and one script of about 1 ms, and stay below Lua's limit of arguments. */
const defaultChunkSize = 5_000;

export function createFanOut(deps: {
  db: Database;
  contactList: ContactList;
  metrics: Metrics;
  logger: Logger;
  chunkSize?: number;
  /** How many jobs are worked on at once; the others wait. */
  concurrency?: number;
  /** Told of a job that is left because the work is stopped; others may go on with it at once. */
  onLeft?: (job: JobKey) => Promise<void>;
}): FanOut {
  const { db, contactList, metrics, logger, chunkSize = defaultChunkSize, concurrency = 4, onLeft } = deps;
  const runs = new Map<string, Run>();
  const inTurn = createTurns(concurrency);
  const stop = new AbortController();

  /** One pass from the position in Redis to the end of the list that Postgres has. */
  async function work(job: JobKey): Promise<void> {
    let position = await contactList.position(job);
    while (position !== undefined && !stop.signal.aborted) {
      const chunk = await readChunk(db, job.id, position.last, chunkSize);
      if (chunk?.status !== "running") {
        await contactList.unlink(job, chunk?.revision ?? Number.MAX_SAFE_INTEGER);
        return;
      }
      const last = Math.min(position.last + chunkSize, chunk.total);
      const { appended, position: now } = await contactList.append(job, position, last, chunk.numbers);
      if (appended) metrics.fanOutContacts.inc(chunk.numbers.length);
      if (appended && last === chunk.total) return;
      position = now;
    }
  }

  async function runUntilDone(job: JobKey, run: Run): Promise<void> {
    const endTimer = metrics.fanOutSeconds.startTimer();
    try {
      do {
        run.again = false;
        await work(job);
      } while (run.again && !stop.signal.aborted);
      if (stop.signal.aborted) await onLeft?.(job);
      else endTimer();
    } catch (error) {
      metrics.fanOutFailures.inc();
      logger.warn({ err: error, batchJobId: job.id }, "fan-out stopped; the sweep will go on with it");
    } finally {
      runs.delete(job.id);
    }
  }

  return {
    async run(job) {
      if (stop.signal.aborted) return;
      const running = runs.get(job.id);
      if (running !== undefined) {
        running.again = true;
        return await running.promise;
      }
      const run: Run = { again: false, promise: Promise.resolve() };
      runs.set(job.id, run);
      run.promise = inTurn(() => runUntilDone(job, run));
      await run.promise;
    },
    isRunning: (jobId) => runs.has(jobId),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all([...runs.values()].map((run) => run.promise));
    },
  };
}
