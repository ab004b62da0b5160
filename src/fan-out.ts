import type { Logger } from "pino";
import type { Metrics } from "./metrics.ts";
import { readChunk } from "./postgres/contacts.ts";
import { stillRunning } from "./postgres/sweep.ts";
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
  /**
   * Does the same for jobs that run for the first time, as they were when they started: all their contacts are pending,
   * so that nothing need be read. Resolves before large ones are done.
   */
  begin(jobs: readonly StartedJob[]): Promise<void>;
  /** True while this replica works on the job. */
  isRunning(jobId: string): boolean;
};

export type StartedJob = { readonly key: JobKey; readonly revision: number; readonly total: number };

type Run = { promise: Promise<void>; again: boolean };

/** 10,000 numbers are one statement and one script, each of about 3 ms; in Redis nothing else runs meanwhile. */
const defaultChunkSize = 10_000;

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
    const readFrom = (last: number) => readChunk(db, job.id, last, chunkSize);
    let next = position && readFrom(position.last);
    while (position !== undefined && next !== undefined && !stop.signal.aborted) {
      const chunk = await next;
      if (chunk?.status !== "running") {
        await contactList.unlink(job, chunk?.revision ?? Number.MAX_SAFE_INTEGER);
        return;
      }
      const { numbers, total } = chunk;
      const last = Math.min(position.last + chunkSize, total);
      const isLast = last === total;
      // The next chunk is read while this one is put on the list.
      const ahead = isLast ? undefined : readFrom(last);
      ahead?.catch(() => {});
      const { appended, position: now } = await contactList.append(job, position, last, numbers);
      if (appended) metrics.fanOutContacts.inc("count" in numbers ? numbers.count : numbers.length);
      if (appended && isLast) return;
      position = now;
      next = appended ? ahead : now && readFrom(now.last);
    }
  }

  async function runUntilDone(job: JobKey, current: Run): Promise<void> {
    const endTimer = metrics.fanOutSeconds.startTimer();
    try {
      do {
        current.again = false;
        await work(job);
      } while (current.again && !stop.signal.aborted);
      if (stop.signal.aborted) await onLeft?.(job);
      else endTimer();
    } catch (error) {
      metrics.fanOutFailures.inc();
      logger.warn({ err: error, batchJobId: job.id }, "fan-out stopped; the sweep will go on with it");
    } finally {
      runs.delete(job.id);
    }
  }

  async function run(job: JobKey): Promise<void> {
    if (stop.signal.aborted) return;
    const running = runs.get(job.id);
    if (running !== undefined) {
      running.again = true;
      return await running.promise;
    }
    const started: Run = { again: false, promise: Promise.resolve() };
    runs.set(job.id, started);
    started.promise = inTurn(() => runUntilDone(job, started));
    await started.promise;
  }

  /** The first chunk of a job; false if Redis failed. */
  async function beginOne({ key, revision, total }: StartedJob): Promise<boolean> {
    const last = Math.min(total, chunkSize);
    try {
      if (await contactList.begin(key, revision, last)) metrics.fanOutContacts.inc(last);
      return true;
    } catch (error) {
      metrics.fanOutFailures.inc();
      logger.warn({ err: error, batchJobId: key.id }, "a fan-out is left to the sweep");
      return false;
    }
  }

  return {
    run,
    async begin(jobs) {
      const begun = await Promise.all(jobs.map(beginOne));
      const onLists = jobs.filter((_, i) => begun[i]);
      if (onLists.length === 0) return;
      // One that was paused, cancelled or deleted meanwhile may have a list all the same; a run takes it away.
      const ids = onLists.map(({ key }) => key.id);
      const running = await stillRunning(db, ids).catch(() => new Set<string>());
      for (const { key, total } of onLists) if (total > chunkSize || !running.has(key.id)) void run(key);
    },
    isRunning: (jobId) => runs.has(jobId),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all([...runs.values()].map(({ promise }) => promise));
    },
  };
}
