import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { createAlarm } from "../timing/alarm.ts";
import type { Clock } from "../vitals/clock.ts";
import type { DueStart, DueStarts, LockedEntry } from "./due-starts.ts";
import type { FanOut, StartedJob } from "./fan-out.ts";
import type { Openings } from "./openings.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Metrics } from "../vitals/metrics.ts";
import type { RedisClient } from "../redis/connection.ts";
import type { Claim, Entry, Schedule } from "../redis/schedule.ts";

type Deps = {
  readonly schedule: Schedule;
  readonly startDue: DueStarts["startDue"];
  readonly fanOut: Pick<FanOut, "begin">;
  readonly openings: Pick<Openings, "wake">;
  readonly clock: Clock;
  /** Told of jobs that run now and whose lists are being begun; not where so many are due that lists wait. */
  readonly onStarted?: (jobs: readonly DueStart[]) => void;
  /** Told of entries whose jobs' rows were locked, each time that this is found. They are tried again all the same. */
  readonly onLocked?: (entries: readonly LockedEntry[]) => void;
};

/** So many entries are claimed by one script and started by one statement. */
const batchSize = 1_000;

/**
 * Where more are due, so many batches are in hand at the same time: Postgres works on some while others are settled.
 */
const lanes = 3;

/** While more is due, starting goes before filling lists, but so many jobs do not wait longer. */
const mostWithoutLists = 10 * batchSize;

/** A replica that dies with entries in hand leaves them to come due again after this. */
const holdMs = 5_000;

/** A due job whose row is locked is tried again after this, and no connection waits for it meanwhile. */
const lockedPauseMs = 50;

/** Rows that somebody always has locked are never found free: in their queue a start has its turn. */
const queueAfterMs = 1_000;

/** So many of them are waited for at a time, each on a connection. */
const mostQueued = 2;

/** The longest sleep: what a lost wake-up costs at most. */
const usualSleepMs = 1_000;

/** Timers go off late by up to about this. */
const timerSlackMs = 1;

/**
 * Claims the entries that are due, has their jobs started and their fan-outs begun, and settles them, batch after
 * batch until there are none or it is stopped. Answers when the next one is due, in unix ms; undefined if there is
 * none. Entries whose start could not be decided keep their old times, and it throws.
 */
export async function runSchedulerPass(
  { schedule, startDue, fanOut, openings, clock, onStarted, onLocked }: Deps,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const claim = () => schedule.claim(clock.now(), batchSize, holdMs);
  const withoutLists: StartedJob[] = [];

  /** Nobody waits for it; what fails is left to the sweep. */
  function beginFanOuts(): void {
    if (withoutLists.length > 0) void fanOut.begin(withoutLists.splice(0));
  }

  /** True if every one of the entries was decided. */
  async function start(some: readonly Entry[]): Promise<boolean> {
    try {
      const { done, later, locked, started } = await startDue(some.map((entry) => entry.scheduledJobId));
      withoutLists.push(...started);
      void openings.wake(started);
      if (some.length < batchSize || withoutLists.length >= mostWithoutLists) beginFanOuts();
      if (some.length < batchSize && started.length > 0) onStarted?.(started);
      const soonMs = clock.now() + lockedPauseMs;
      const held = locked.map(({ scheduledJobId }): Entry => ({
        scheduledJobId,
        scheduledStartTimeMs: soonMs,
      }));
      await Promise.all([schedule.removeAll(done), schedule.rescore([...later, ...held])]);
      if (locked.length > 0) onLocked?.(locked);
      // Only a clock that runs ahead of the database's brings entries here before their time.
      if (later.length > 0) await clock.measure();
      return locked.length === 0;
    } catch (error) {
      await schedule.rescore(some).catch(() => {});
      throw error;
    }
  }

  async function startFrom({ entries }: Claim): Promise<void> {
    if (entries.length === 0) return;
    // What was locked may be due again already: a pass would not end while it is.
    const goesOn = (await start(entries)) && entries.length === batchSize;
    if (goesOn && signal?.aborted !== true) await startFrom(await claim());
  }

  const first = await claim();
  if (first.entries.length === 0) return first.nextDueMs;
  const others = first.entries.length < batchSize ? 0 : lanes - 1;
  const ended = await Promise.allSettled([
    startFrom(first),
    ...Array.from({ length: others }, async () => startFrom(await claim())),
  ]);
  beginFanOuts();
  const failed = ended.find((end) => end.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  // What was rescored may be due next.
  return clock.now();
}

/** Starts due jobs until disposed. Every replica runs it; Postgres decides which of them starts a job. */
export function startScheduler(
  deps: Omit<Deps, "onLocked"> & {
    readonly startInTurn: DueStarts["startInTurn"];
    readonly subscriber: RedisClient;
    readonly metrics: Metrics;
    readonly logger: Logger;
    /** It looks at least so often, whether or not it hears of new entries; a second if not given. */
    readonly longestSleepMs?: number;
  },
): AsyncDisposable {
  const { schedule, startInTurn, fanOut, openings, clock, subscriber, metrics, logger } = deps;
  const { longestSleepMs = usualSleepMs } = deps;
  const alarm = createAlarm();
  schedule.onWake(subscriber, alarm.ring);
  let nextDueMs: number | undefined;

  /** Waits in turns of the event loop for a time that is just ahead. */
  async function waitOut(timeMs: number): Promise<void> {
    let aheadMs = timeMs - clock.now();
    while (aheadMs > 0 && aheadMs <= 2 * timerSlackMs) {
      await nextTurn();
      aheadMs = timeMs - clock.now();
    }
  }

  /** The entries whose rows are waited for. */
  const queued = new Map<string, Promise<void>>();

  async function startQueued(scheduledJobId: string): Promise<void> {
    try {
      const started = await startInTurn(scheduledJobId);
      void openings.wake(started);
      await fanOut.begin(started);
    } catch (error) {
      logger.warn({ err: error, scheduledJobId }, "a due job waits for its row, which others keep locked");
    }
    queued.delete(scheduledJobId);
  }

  /** Queues for rows that have long been locked, from anywhere among them on, so that each has its turn. */
  function queue(locked: readonly LockedEntry[]): void {
    const long = locked.filter(
      (entry) => entry.overdueMs > queueAfterMs && !queued.has(entry.scheduledJobId),
    );
    const from = Math.floor(Math.random() * long.length);
    const turns = [...long.slice(from), ...long.slice(0, from)].slice(0, mostQueued - queued.size);
    for (const { scheduledJobId } of turns) queued.set(scheduledJobId, startQueued(scheduledJobId));
  }

  const loop = startServiceLoop("the scheduler", {
    async pass({ signal, isRetry }) {
      if (nextDueMs !== undefined) await waitOut(nextDueMs);
      // After a failure nothing is claimed until Postgres answers.
      if (isRetry) await clock.measure();
      nextDueMs = undefined;
      nextDueMs = await runSchedulerPass({ ...deps, onLocked: queue }, signal);
      return Math.min(
        jittered(longestSleepMs),
        nextDueMs === undefined ? longestSleepMs : nextDueMs - clock.now() - timerSlackMs,
      );
    },
    alarm,
    retryMs: 250,
    logger,
    failures: metrics.schedulerFailures,
  });
  return {
    async [Symbol.asyncDispose]() {
      await loop[Symbol.asyncDispose]();
      await Promise.all(queued.values());
    },
  };
}
