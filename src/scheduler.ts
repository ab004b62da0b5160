import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { createAlarm } from "./alarm.ts";
import type { Clock } from "./clock.ts";
import type { StartDue } from "./due-starts.ts";
import type { FanOut, StartedJob } from "./fan-out.ts";
import { jittered, startLoop } from "./loop.ts";
import type { Metrics } from "./metrics.ts";
import type { RedisClient } from "./redis/connection.ts";
import type { Claim, Entry, Schedule } from "./redis/schedule.ts";

type Deps = {
  readonly schedule: Schedule;
  readonly startDue: StartDue;
  readonly fanOut: Pick<FanOut, "begin">;
  readonly clock: Clock;
};

/** So many entries are claimed by one script and started by one statement. */
const batchSize = 1_000;

/** Where more are due, so many batches are in hand at the same time: Postgres works on some while others are settled. */
const lanes = 3;

/** While more is due, starting goes before filling lists, but so many jobs do not wait longer. */
const mostWithoutLists = 10 * batchSize;

/** A replica that dies with entries in hand leaves them to come due again after this. */
const holdMs = 5_000;

/** The longest sleep: what a lost wake-up costs at most. */
const floorMs = 1_000;

/** Timers go off late by up to about this. */
const timerSlackMs = 1;

/**
 * Claims the entries that are due, has their jobs started and their fan-outs begun, and settles them, batch after batch until there are none or it
 * is stopped. Answers when the next one is due, in unix ms; undefined if there is none. Entries whose start could not be
 * decided keep their old times, and it throws.
 */
export async function runSchedulerPass(
  { schedule, startDue, fanOut, clock }: Deps,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const claim = () => schedule.claim(clock.now(), batchSize, holdMs);
  const withoutLists: StartedJob[] = [];

  /** Nobody waits for it; what fails is left to the sweep. */
  function beginFanOuts(): void {
    if (withoutLists.length > 0) void fanOut.begin(withoutLists.splice(0));
  }

  async function start(some: readonly Entry[]): Promise<void> {
    try {
      const { done, later, started } = await startDue(some.map((entry) => entry.scheduledJobId));
      withoutLists.push(...started);
      if (some.length < batchSize || withoutLists.length >= mostWithoutLists) beginFanOuts();
      await Promise.all([schedule.removeAll(done), schedule.rescore(later)]);
      // Only a clock that runs ahead of the database's brings entries here before their time.
      if (later.length > 0) await clock.measure();
    } catch (error) {
      await schedule.rescore(some).catch(() => {});
      throw error;
    }
  }

  async function startFrom({ entries }: Claim): Promise<void> {
    if (entries.length > 0) await start(entries);
    if (entries.length === batchSize && signal?.aborted !== true) await startFrom(await claim());
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
  deps: Deps & { readonly subscriber: RedisClient; readonly metrics: Metrics; readonly logger: Logger },
): AsyncDisposable {
  const { schedule, clock, subscriber, metrics, logger } = deps;
  const alarm = createAlarm();
  schedule.onWake(subscriber, alarm.ring);
  let isFailing = false;
  let dueMs: number | undefined;

  /** Waits in turns of the event loop for a time that is just ahead. */
  async function waitOut(timeMs: number): Promise<void> {
    let aheadMs = timeMs - clock.now();
    while (aheadMs > 0 && aheadMs <= 2 * timerSlackMs) {
      await nextTurn();
      aheadMs = timeMs - clock.now();
    }
  }

  return startLoop(async (signal) => {
    try {
      if (dueMs !== undefined) await waitOut(dueMs);
      // After a failure nothing is claimed until Postgres answers.
      if (isFailing) await clock.measure();
      dueMs = undefined;
      dueMs = await runSchedulerPass(deps, signal);
      if (isFailing) logger.info("the scheduler works again");
      isFailing = false;
      return Math.min(jittered(floorMs), dueMs === undefined ? floorMs : dueMs - clock.now() - timerSlackMs);
    } catch (error) {
      metrics.schedulerFailures.inc();
      if (!isFailing) logger.error({ err: error }, "the scheduler fails; it tries again");
      isFailing = true;
      return jittered(250);
    }
  }, alarm);
}
