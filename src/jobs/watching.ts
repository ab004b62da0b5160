import type { Logger } from "pino";
import { type Alarm, createAlarm } from "../timing/alarm.ts";
import { coalesce } from "../timing/coalesce.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import { allowedStatuses } from "../domain/jobs/batch-job.ts";
import type { Caller } from "../domain/caller.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { isUuid, readJobKey, writeJobKey } from "../domain/jobs/job-id.ts";
import { jobNotFound } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import { type JobVersion, readJobs, readVersions } from "../postgres/jobs/watching.ts";
import type { BatchJob } from "./queries.ts";

export type Watching = AsyncDisposable & {
  /**
   * Each of the jobs as it is now, then each again after it changed, at most five times a second and never without its
   * last state; undefined every 15 s as a sign of life. Ends when all are final and nothing is dialing, or deleted.
   */
  watch(caller: Caller, jobIds: readonly string[], signal: AbortSignal): AsyncIterable<BatchJob | undefined>;
  /** Ends all streams with this error. */
  fail(error: unknown): void;
};

/** One caller's stream: which of its jobs it has not yet sent as they are now. */
type Stream = {
  readonly changed: Set<string>;
  readonly alarm: Alarm;
  /** Ends the stream with an error, whatever it waits for. */
  readonly fail: (error: unknown) => void;
  /** Throws if the stream has failed. */
  readonly check: () => void;
  /** What the work answers, unless the stream fails first. */
  readonly unlessFailed: <T>(work: Promise<T>) => Promise<T>;
};

/** A job that somebody watches, as it was last seen; undefined once it is deleted. */
type Watched = { version: string | undefined; job: BatchJob | undefined; readonly streams: Set<Stream> };

/** The version of a job that is gone, for good. */
const deleted = "deleted";

const pollMs = 200;
const signOfLifeMs = 15_000;

/** What the streams of one organization may be on one replica, and the jobs in them together. */
const mostStreams = 500;
const mostWatched = 10_000;

/** One statement looks at so many jobs at most. */
const mostAsked = 5_000;

const isOver = (job: BatchJob | undefined): boolean =>
  job === undefined || (!allowedStatuses("cancel").includes(job.status) && job.counts.dialing === 0);

const tooManyWatched = () =>
  new BatchJobError(
    "limit_exceeded",
    `On this replica an organization has at most ${mostStreams} streams of jobs, with ${mostWatched} jobs in them; end some first.`,
    { limit: String(mostWatched) },
  );

function createStream(): Stream {
  const alarm = createAlarm();
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  let failure: { error: unknown } | undefined;
  return {
    changed: new Set(),
    alarm,
    fail(error) {
      failure ??= { error };
      reject(error);
      alarm.ring();
    },
    check() {
      if (failure !== undefined) throw failure.error;
    },
    unlessFailed: (work) => Promise.race([work, failed]),
  };
}

/** Watches by looking, with one query for all jobs that somebody watches on this replica, and none if nobody does. */
export function createWatching(deps: {
  db: Database;
  logger: Logger;
  metrics: Metrics;
  /** The work, or an error at once while it cannot succeed. */
  guard?: <T>(work: () => Promise<T>) => Promise<T>;
}): Watching {
  const { db, logger, metrics, guard = (work) => work() } = deps;
  /** By key, as everywhere below: two organizations may ask for one id. */
  const watched = new Map<string, Watched>();
  const streams = new Set<Stream>();
  /** What each organization's streams hold of its share. */
  const held = new Map<number, { streams: number; jobs: number }>();
  const poke = createAlarm();

  function see(key: string, found: JobVersion | undefined): void {
    const seen = watched.get(key);
    if (seen === undefined || seen.version === (found?.version ?? deleted)) return;
    seen.version = found?.version ?? deleted;
    seen.job = found?.job;
    for (const stream of seen.streams) {
      stream.changed.add(key);
      stream.alarm.ring();
    }
  }

  /** Jobs are read only if they are not known yet, or have another version than is known. */
  async function readSome(keys: readonly string[], found: Map<string, JobVersion>): Promise<void> {
    const versions = await readVersions(
      db,
      keys.filter((key) => watched.get(key)?.job !== undefined).map(readJobKey),
    );
    const changed: string[] = [];
    for (const key of keys) {
      const { version, job } = watched.get(key) ?? {};
      if (version === deleted) continue;
      if (job !== undefined && version !== undefined && version === versions.get(key))
        found.set(key, { version, job });
      else changed.push(key);
    }
    for (const [key, read] of await readJobs(db, changed.map(readJobKey))) found.set(key, read);
  }

  /** One look at a time, for all who ask meanwhile: so what is seen later is newer, however many begin at once. */
  const read = coalesce<readonly string[], ReadonlyMap<string, JobVersion>>(async (asked) => {
    const keys = [...new Set(asked.flat())];
    const found = new Map<string, JobVersion>();
    for (let done = 0; done < keys.length; done += mostAsked) {
      await readSome(keys.slice(done, done + mostAsked), found);
    }
    return asked.map(() => found);
  }, 1_000);

  async function look(keys: readonly string[]): Promise<void> {
    const versions = await read(keys);
    for (const key of keys) see(key, versions.get(key));
  }

  const polling = startServiceLoop("the reading of watched jobs", {
    async pass() {
      if (watched.size === 0) return Infinity;
      await look([...watched.keys()]);
      return pollMs;
    },
    alarm: poke,
    retryMs: pollMs,
    logger,
  });

  function join(stream: Stream, keys: readonly string[]): void {
    for (const key of keys) {
      const own = watched.get(key) ?? { version: undefined, job: undefined, streams: new Set() };
      watched.set(key, own);
      own.streams.add(stream);
      stream.changed.add(key);
    }
    poke.ring();
  }

  function leave(stream: Stream, keys: readonly string[]): void {
    for (const key of keys) {
      const left = watched.get(key);
      left?.streams.delete(stream);
      if (left?.streams.size === 0) watched.delete(key);
    }
  }

  /** Takes a stream's share of what its organization may watch, and answers how to give it back. */
  function takeShare({ organizationId }: Caller, jobs: number): () => void {
    const share = held.get(organizationId) ?? { streams: 0, jobs: 0 };
    if (share.streams >= mostStreams || share.jobs + jobs > mostWatched) throw tooManyWatched();
    const count = (by: 1 | -1) => {
      share.streams += by;
      share.jobs += by * jobs;
      metrics.watchedJobs.inc(by * jobs);
    };
    count(1);
    held.set(organizationId, share);
    return () => {
      count(-1);
      if (share.streams === 0) held.delete(organizationId);
    };
  }

  /** Refuses jobs that are not there. */
  async function checkAll(keys: readonly string[]): Promise<void> {
    const versions = await read(keys.filter((key) => isUuid(readJobKey(key).id)));
    const missing = keys.find((key) => !versions.has(key));
    if (missing === undefined) return;
    throw jobNotFound(readJobKey(missing).id);
  }

  return {
    async *watch(caller, jobIds, signal) {
      const { organizationId } = caller;
      const keys = [...new Set(jobIds.map((id) => writeJobKey({ id: id.toLowerCase(), organizationId })))];
      const giveBack = takeShare(caller, keys.length);
      const stream = createStream();
      const ended = () => stream.fail(signal.reason);
      signal.addEventListener("abort", ended);
      if (signal.aborted) ended();
      streams.add(stream);
      try {
        await stream.unlessFailed(guard(() => checkAll(keys)));
        join(stream, keys);
        await stream.unlessFailed(look(keys));
        for (let sentMs = -Infinity; ;) {
          const restMs = stream.changed.size > 0 ? pollMs : signOfLifeMs;
          const waitMs = sentMs + restMs - performance.now();
          if (waitMs > 0) {
            if (stream.changed.size === 0 && keys.every((key) => isOver(watched.get(key)?.job))) return;
            await stream.alarm.sleep(waitMs);
            stream.check();
            continue;
          }
          if (stream.changed.size === 0) yield undefined;
          for (const key of keys) {
            if (!stream.changed.delete(key)) continue;
            const job = watched.get(key)?.job;
            if (job !== undefined) yield job;
            stream.check();
          }
          sentMs = performance.now();
        }
      } finally {
        signal.removeEventListener("abort", ended);
        streams.delete(stream);
        leave(stream, keys);
        giveBack();
      }
    },
    fail(error) {
      for (const stream of streams) stream.fail(error);
    },
    [Symbol.asyncDispose]: () => polling[Symbol.asyncDispose](),
  };
}
