import type { Logger } from "pino";
import { type Alarm, createAlarm } from "./alarm.ts";
import { coalesce } from "./coalesce.ts";
import { allowedStatuses } from "./domain/batch-job.ts";
import type { Caller } from "./domain/caller.ts";
import { startLoop } from "./loop.ts";
import { isUuid, jobNotFound } from "./postgres/batch-jobs.ts";
import type { Database } from "./postgres/database.ts";
import { type JobVersion, readVersions } from "./postgres/watching.ts";
import type { BatchJob } from "./queries.ts";

export type Watching = AsyncDisposable & {
  /**
   * Each of the jobs as it is now, then each again after it changed, at most five times a second and never without its
   * last state; undefined every 15 s as a sign of life. Ends when all are final and nothing is dialing, or deleted.
   */
  watch(caller: Caller, jobIds: readonly string[], signal: AbortSignal): AsyncIterable<BatchJob | undefined>;
};

/** One caller's stream: which of its jobs it has not yet sent as they are now. */
type Stream = { readonly changed: Set<string>; readonly alarm: Alarm };

/** A job that somebody watches, as it was last seen; no row once it is deleted. */
type Watched = { version: string | undefined; row: BatchJob | undefined; readonly streams: Set<Stream> };

const pollMs = 200;
const signOfLifeMs = 15_000;

const isOver = (row: BatchJob | undefined): boolean =>
  row === undefined || (!allowedStatuses("cancel").includes(row.status) && row.dialing_contacts === 0);

/** Watches by looking, with one query for all jobs that somebody watches on this replica, and none if nobody does. */
export function createWatching(deps: { db: Database; logger: Logger }): Watching {
  const { db, logger } = deps;
  const watched = new Map<string, Watched>();
  const poke = createAlarm();
  let isFailing = false;

  function see(id: string, found: JobVersion | undefined): void {
    const job = watched.get(id);
    if (job === undefined || job.version === (found?.version ?? "deleted")) return;
    job.version = found?.version ?? "deleted";
    job.row = found?.row;
    for (const stream of job.streams) {
      stream.changed.add(id);
      stream.alarm.ring();
    }
  }

  /** One query at a time, for all who ask meanwhile: so what is seen later is newer, however many begin at once. */
  const read = coalesce<readonly string[], ReadonlyMap<string, JobVersion>>(async (asked) => {
    const versions = await readVersions(db, [...new Set(asked.flat())]);
    return asked.map(() => versions);
  }, 1_000);

  async function look(ids: readonly string[]): Promise<void> {
    const versions = await read(ids);
    for (const id of ids) see(id, versions.get(id));
  }

  const polling = startLoop(async () => {
    if (watched.size === 0) return Infinity;
    try {
      await look([...watched.keys()]);
      isFailing = false;
    } catch (error) {
      if (!isFailing) logger.warn({ err: error }, "watched jobs cannot be read; trying again");
      isFailing = true;
    }
    return pollMs;
  }, poke);

  function join(stream: Stream, ids: readonly string[]): void {
    for (const id of ids) {
      const job = watched.get(id) ?? { version: undefined, row: undefined, streams: new Set() };
      watched.set(id, job);
      job.streams.add(stream);
      stream.changed.add(id);
    }
    poke.ring();
  }

  function leave(stream: Stream, ids: readonly string[]): void {
    for (const id of ids) {
      const job = watched.get(id);
      job?.streams.delete(stream);
      if (job?.streams.size === 0) watched.delete(id);
    }
  }

  /** Refuses jobs that are not the caller's. */
  async function checkAll(caller: Caller, ids: readonly string[]): Promise<void> {
    const versions = await read(ids.filter(isUuid));
    const missing = ids.find((id) => versions.get(id)?.row.organization_id !== caller.organizationId);
    if (missing === undefined) return;
    throw jobNotFound(missing);
  }

  return {
    async *watch(caller, jobIds, signal) {
      const ids = [...new Set(jobIds.map((id) => id.toLowerCase()))];
      await checkAll(caller, ids);
      const stream: Stream = { changed: new Set(), alarm: createAlarm() };
      signal.addEventListener("abort", stream.alarm.ring);
      join(stream, ids);
      try {
        await look(ids);
        for (let sentMs = -Infinity; ;) {
          const restMs = stream.changed.size > 0 ? pollMs : signOfLifeMs;
          const waitMs = sentMs + restMs - performance.now();
          if (waitMs > 0) {
            if (stream.changed.size === 0 && ids.every((id) => isOver(watched.get(id)?.row))) return;
            await stream.alarm.sleep(waitMs);
            signal.throwIfAborted();
            continue;
          }
          if (stream.changed.size === 0) yield undefined;
          for (const id of ids) {
            if (!stream.changed.delete(id)) continue;
            const row = watched.get(id)?.row;
            if (row !== undefined) yield row;
            signal.throwIfAborted();
          }
          sentMs = performance.now();
        }
      } finally {
        signal.removeEventListener("abort", stream.alarm.ring);
        leave(stream, ids);
      }
    },
    [Symbol.asyncDispose]: () => polling[Symbol.asyncDispose](),
  };
}
