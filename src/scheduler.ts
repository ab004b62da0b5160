import type { Logger } from "pino";
import { createAlarm } from "./alarm.ts";
import type { Clock } from "./clock.ts";
import type { StartDue } from "./due-starts.ts";
import { jittered, startLoop } from "./loop.ts";
import type { Metrics } from "./metrics.ts";
import type { RedisClient } from "./redis/connection.ts";
import type { Schedule } from "./redis/schedule.ts";

type Deps = {
  readonly schedule: Schedule;
  readonly startDue: StartDue;
  readonly clock: Clock;
};

/** Bounds a pass: one script and one statement for so many jobs. */
const batchSize = 1_000;

/** A replica that dies with entries in hand leaves them to come due again after this. */
const holdMs = 5_000;

/** The longest sleep: what a lost wake-up costs at most. */
const floorMs = 1_000;

/**
 * Claims the entries that are due, has their jobs started, and settles them. Answers when the next one is due, in unix
 * ms; undefined if there is none. Entries whose start could not be decided keep their old times, and it throws.
 */
export async function runSchedulerPass({ schedule, startDue, clock }: Deps): Promise<number | undefined> {
  const { entries, nextDueMs } = await schedule.claim(clock.now(), batchSize, holdMs);
  if (entries.length === 0) return nextDueMs;
  try {
    const { done, later } = await startDue(entries.map((entry) => entry.scheduledJobId));
    await Promise.all([schedule.removeAll(done), schedule.rescore(later)]);
    // Only a clock that runs ahead of the database's brings entries here before their time.
    if (later.length > 0) await clock.measure();
  } catch (error) {
    await schedule.rescore(entries).catch(() => {});
    throw error;
  }
  // There may be more that is due, and what was rescored may be due next.
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

  return startLoop(async () => {
    try {
      // After a failure nothing is claimed until Postgres answers.
      if (isFailing) await clock.measure();
      const nextDueMs = await runSchedulerPass(deps);
      if (isFailing) logger.info("the scheduler works again");
      isFailing = false;
      return Math.min(jittered(floorMs), nextDueMs === undefined ? floorMs : nextDueMs - clock.now());
    } catch (error) {
      metrics.schedulerFailures.inc();
      if (!isFailing) logger.error({ err: error }, "the scheduler fails; it tries again");
      isFailing = true;
      return jittered(250);
    }
  }, alarm);
}
