import type { Logger } from "pino";
import type { Metrics } from "../vitals/metrics.ts";
import { type Chunk, readChunk, wholeChunk } from "../postgres/contacts/chunks.ts";
import { type JobNow, jobsNow } from "../postgres/jobs/sweep.ts";
import type { Database } from "../postgres/connections/database.ts";
import type { ContactList } from "../redis/contact-list.ts";
import { type Position, isFirstRun } from "../redis/position.ts";
import type { JobKey } from "../redis/keys.ts";
import { countOf } from "../domain/contacts/numbers.ts";
import { createTurns } from "../timing/turns.ts";

/** Disposing stops the work between two chunks and tells of every job that is not done. */
export type FanOut = AsyncDisposable & {
  /**
   * Puts the pending contacts of a running job on its lists, each on that of its set of time zones, from its position
   * on, and resolves when they all are or the work has stopped on a failure, which is logged. A call during the work
   * joins it, and contacts that were committed before the call are on the list when it resolves.
   */
  run(job: JobKey): Promise<void>;
  /**
   * Does the same for jobs that run for the first time, as they were when they started: all their contacts are pending,
   * so that nothing need be read, unless they are in several sets. Resolves before large ones are done: with what is
   * left to do of each job, by its id. A job whose list could not be begun is not among them.
   */
  begin(jobs: readonly StartedJob[]): Promise<ReadonlyMap<string, Promise<void>>>;
  /** True while this replica works on the job. */
  isRunning(jobId: string): boolean;
};

export type StartedJob = {
  readonly key: JobKey;
  readonly revision: number;
  readonly totalContacts: number;
  /** How many sets of time zones its contacts are in; none, or 0, if they may be called at any time. */
  readonly zoneSets?: number | undefined;
};

const isInSets = ({ zoneSets = 0 }: StartedJob): boolean => zoneSets > 1;

type Run = { promise: Promise<void>; again: boolean };

/** 10,000 numbers are one statement and one script, each of about 3 ms; in Redis nothing else runs meanwhile. */
const defaultChunkSize = 10_000;
/** What a list takes in Redis beside its numbers, in numbers. */
const leastCost = 50;

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

  function readFrom(job: JobKey, position: Position): Promise<Chunk | undefined> {
    const read = isFirstRun(position) ? wholeChunk : readChunk;
    const chunk = read(db, job.organizationId, job.id, position.last, chunkSize);
    // When the work is stopped nobody waits for it any more.
    chunk.catch(() => {});
    return chunk;
  }

  /** One pass from the position in Redis to the end of the list that Postgres has. */
  async function work(job: JobKey): Promise<void> {
    let position = await contactList.position(job);
    let next = position && readFrom(job, position);
    while (position !== undefined && next !== undefined && !stop.signal.aborted) {
      const chunk = await next;
      if (chunk?.status !== "running") {
        // Of one that is gone nobody knows how many lists it had; the sweep finds them.
        const { zoneSets, revision = Number.MAX_SAFE_INTEGER } = chunk ?? {};
        await contactList.unlink({ ...job, zoneSets }, revision);
        return;
      }
      const { lists, totalContacts } = chunk;
      // Postgres has lost commits: the sweep starts the list over.
      if (position.last > totalContacts) return;
      const last = Math.min(position.last + chunkSize, totalContacts);
      const isLast = last === totalContacts;
      // The next chunk is read while this one is put on the list.
      const ahead = isLast ? undefined : readFrom(job, { ...position, last });
      const { appended, position: now } = await contactList.append(job, position, last, lists);
      if (appended) metrics.fanOutContacts.inc(lists.reduce((sum, { numbers }) => sum + countOf(numbers), 0));
      if (appended && isLast) return;
      position = now;
      next = appended ? ahead : now && readFrom(job, now);
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

  /** Does the first step of jobs; answers the jobs, or none of them if Redis failed. */
  async function orLeave(
    jobs: readonly StartedJob[],
    step: () => Promise<void>,
  ): Promise<readonly StartedJob[]> {
    try {
      await step();
      return jobs;
    } catch (error) {
      metrics.fanOutFailures.inc(jobs.length);
      const batchJobIds = jobs.map(({ key }) => key.id);
      logger.warn({ err: error, batchJobIds }, "fan-outs are left to the sweep");
      return [];
    }
  }

  /** The first chunks of jobs of one organization. */
  const beginGroup = (jobs: readonly StartedJob[]): Promise<readonly StartedJob[]> =>
    orLeave(jobs, async () => {
      const [first] = jobs;
      if (first === undefined) return;
      const beginnings = jobs.map((job) => ({ ...job, last: Math.min(job.totalContacts, chunkSize) }));
      metrics.fanOutContacts.inc(await contactList.begin(first.key.organizationId, beginnings));
    });

  /** Which of its contacts is in which set is still to be read. */
  const beginInSets = (job: StartedJob): Promise<readonly StartedJob[]> =>
    orLeave([job], async () => {
      await contactList.create({ ...job.key, zoneSets: job.zoneSets }, job.revision, "first");
    });

  /** Groups of jobs of one organization each, with no more numbers together than a chunk if there are several. */
  function grouped(jobs: readonly StartedJob[]): StartedJob[][] {
    const groups: StartedJob[][] = [];
    for (const ofOne of Map.groupBy(jobs, ({ key }) => key.organizationId).values()) {
      let room = 0;
      for (const job of ofOne) {
        const cost = Math.max(job.totalContacts, leastCost);
        if (cost > room) {
          groups.push([]);
          room = chunkSize;
        }
        groups.at(-1)?.push(job);
        room -= cost;
      }
    }
    return groups;
  }

  return {
    run,
    async begin(jobs) {
      const endTimer = metrics.fanOutSeconds.startTimer();
      const whole = jobs.filter((job) => !isInSets(job));
      const onLists = (
        await Promise.all([...grouped(whole).map(beginGroup), ...jobs.filter(isInSets).map(beginInSets)])
      ).flat();
      if (onLists.length === 0) return new Map();
      // One that was paused, cancelled or deleted meanwhile may have a list all the same; a run takes it away. One
      // that was given more contacts had none to put them on.
      const keys = onLists.map(({ key }) => key);
      const states = await jobsNow(db, keys).catch(() => new Map<string, JobNow>());
      const isDone = (job: StartedJob): boolean => {
        const { key, totalContacts } = job;
        const state = states.get(key.id);
        return (
          !isInSets(job) &&
          totalContacts <= chunkSize &&
          state?.status === "running" &&
          state.totalContacts === totalContacts
        );
      };
      const goOn = async (job: StartedJob): Promise<void> => {
        if (isDone(job)) endTimer();
        else await run(job.key);
      };
      return new Map(onLists.map((job) => [job.key.id, goOn(job)]));
    },
    isRunning: (jobId) => runs.has(jobId),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all([...runs.values()].map(({ promise }) => promise));
    },
  };
}
