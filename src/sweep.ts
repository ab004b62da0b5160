import type { Logger } from "pino";
import type { Clock } from "./clock.ts";
import type { FanOut } from "./fan-out.ts";
import { jittered, startLoop } from "./loop.ts";
import type { Metrics } from "./metrics.ts";
import { beforeAllJobs, isUuid, standingEntries } from "./postgres/batch-jobs.ts";
import { purgeDeletedContacts } from "./postgres/contacts.ts";
import type { Database } from "./postgres/database.ts";
import { purgeRequests } from "./postgres/requests.ts";
import {
  type RunningJob,
  type ScheduledJob,
  deleteOldJobs,
  entriesDueSoon,
  runningJobs,
  scheduledEntries,
  stillRunning,
} from "./postgres/sweep.ts";
import type { ContactList, Position } from "./redis/contact-list.ts";
import type { Entry, Schedule } from "./redis/schedule.ts";

/*
 * The sweep compares Redis with Postgres and puts Redis right. Every replica runs it; every write is conditional, so
 * that no two sweeps can hurt each other, and a frozen one can hurt nobody.
 *
 * A command commits first and then writes to Redis. So what is wrong in Redis is read first, and then once more in
 * Postgres: what Postgres says after Redis was seen wrong is not the shadow of a command in between.
 */

const chunkSize = 1_000;
const pauseMs = 3_000;

type Deps = {
  readonly db: Database;
  readonly schedule: Schedule;
  readonly contactList: ContactList;
  readonly fanOut: FanOut;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
};

const toEntry = ({ scheduledJobId, dueAt }: { scheduledJobId: string; dueAt: Date }): Entry => ({
  scheduledJobId,
  dueMs: dueAt.getTime(),
});

export type Sweep = {
  /** One pass over everything but the removal of rows. */
  pass(): Promise<void>;
};

export function createSweep(deps: Deps): Sweep {
  const { db, schedule, contactList, fanOut, metrics, logger } = deps;
  let scanCursor = "0";
  /** Entries found standing for nothing in this round over the sorted set, and in the one before. */
  let stale = new Set<string>();
  let staleBefore = new Set<string>();
  /** The unfinished and the drained fan-outs of the last pass, and where they stood. */
  let lastSeen = new Map<string, string>();

  function note(rule: string, count: number): void {
    if (count === 0) return;
    metrics.sweepRepairs.inc({ rule }, count);
    logger.warn({ rule, count }, "the sweep put something right");
  }

  /** Fills the sorted set again after Redis lost its data. */
  async function refill(): Promise<void> {
    let added = 0;
    for (let after: ScheduledJob | undefined, full = true; full;) {
      const entries = await scheduledEntries(db, after, chunkSize);
      added += await schedule.addMissing(entries.map(toEntry));
      after = entries.at(-1);
      full = entries.length === chunkSize;
    }
    await schedule.markFilled();
    note("schedule_refilled", added);
  }

  /** Adds entries that are due soon and not there; brings those forward whose time has long passed. */
  async function addMissingEntries(): Promise<void> {
    const soon = await entriesDueSoon(db, chunkSize);
    const times = await schedule.dueTimes(soon.map((entry) => entry.scheduledJobId));
    const suspects = soon.filter(
      (entry, i) =>
        times[i] === undefined || (entry.isOverdue && Number(times[i]) > deps.clock.now() + 15_000),
    );
    if (suspects.length === 0) return;
    const confirmed = await standingEntries(
      db,
      suspects.map((entry) => entry.scheduledJobId),
    );
    const missing = await schedule.addMissing(confirmed.map(toEntry));
    note("entry_missing", missing);
    if (missing < confirmed.length) {
      await schedule.rescore(confirmed.map(toEntry));
      note("entry_late", confirmed.length - missing);
    }
  }

  /**
   * Takes off, of one slice of the sorted set, the entries that stood for nothing in the round before too: others are
   * about to be taken off by the command or the scheduler that has just ended their job's schedule.
   */
  async function removeStaleEntries(): Promise<void> {
    const { cursor, scheduledJobIds } = await schedule.scan(scanCursor, chunkSize);
    scanCursor = cursor;
    const standing = await standingEntries(db, scheduledJobIds.filter(isUuid));
    const known = new Set(standing.map((entry) => entry.scheduledJobId));
    const found = scheduledJobIds.filter((id) => !known.has(id));
    for (const id of found) stale.add(id);
    note("entry_stale", await schedule.removeAll(found.filter((id) => staleBefore.has(id))));
    if (cursor === "0") [staleBefore, stale] = [stale, new Set()];
  }

  type Finding = { job: RunningJob; position: Position | undefined; rule: string };

  /** What is wrong with a running job's list, if it was so at the last pass too where that is the sign of it. */
  async function examine(job: RunningJob, seen: Map<string, string>): Promise<Finding | undefined> {
    if (fanOut.isRunning(job.id)) return undefined;
    const { position, length, returned } = await contactList.look(job, deps.clock.now());
    note("reservation_lost", returned);
    if (position === undefined) return { job, position, rule: "position_lost" };
    const isBehind = position.last < job.total;
    if (!isBehind && (length > 0 || job.pending === 0)) return undefined;
    const rule = isBehind ? "fan_out_stopped" : "list_drained";
    const mark = `${rule} ${position.epoch} ${position.last}`;
    seen.set(job.id, mark);
    return lastSeen.get(job.id) === mark ? { job, position, rule } : undefined;
  }

  async function repair({ job, position, rule }: Finding): Promise<void> {
    if (position === undefined) await contactList.create(job, job.revision);
    else if (rule === "list_drained") await contactList.restart(job, position, job.revision);
    note(rule, 1);
    void fanOut.run(job);
  }

  async function examineRunningJobs(): Promise<void> {
    const seen = new Map<string, string>();
    let after = { organizationId: beforeAllJobs, id: beforeAllJobs };
    for (let full = true; full;) {
      const jobs = await runningJobs(db, after, chunkSize);
      const findings = (await Promise.all(jobs.map((job) => examine(job, seen)))).filter(
        (finding) => finding !== undefined,
      );
      if (findings.length > 0) {
        const running = await stillRunning(
          db,
          findings.map((finding) => finding.job.id),
        );
        for (const finding of findings) if (running.has(finding.job.id)) await repair(finding);
      }
      after = jobs.at(-1) ?? after;
      full = jobs.length === chunkSize;
    }
    lastSeen = seen;
  }

  return {
    async pass() {
      if (!(await schedule.isFilled())) await refill();
      await addMissingEntries();
      await removeStaleEntries();
      await examineRunningJobs();
    },
  };
}

/** Removes a chunk of what is no longer needed; true if there may be more. */
async function purge(db: Database, retentionDays: number | undefined): Promise<boolean> {
  const old = retentionDays === undefined ? 0 : await deleteOldJobs(db, retentionDays, 100);
  const deleted = await purgeDeletedContacts(db, 5_000);
  const expired = await purgeRequests(db, chunkSize);
  return old > 0 || deleted || expired === chunkSize;
}

/** Sweeps every few seconds until disposed, and once at the start. */
export function startSweep(
  deps: Deps & {
    /** Jobs that ended more days ago are deleted; undefined keeps them. */
    readonly retentionDays?: number | undefined;
  },
): AsyncDisposable {
  const { db, clock, metrics, logger, retentionDays } = deps;
  const sweep = createSweep(deps);
  let isFailing = false;

  const guarded = (work: () => Promise<number>) => async () => {
    try {
      const pause = await work();
      isFailing = false;
      return pause;
    } catch (error) {
      metrics.sweepFailures.inc();
      if (!isFailing) logger.error({ err: error }, "the sweep fails; it tries again");
      isFailing = true;
      return jittered(1_000);
    }
  };
  const repairs = startLoop(
    guarded(async () => {
      await clock.measure();
      await sweep.pass();
      return jittered(pauseMs);
    }),
  );
  const removals = startLoop(
    guarded(async () => {
      const began = performance.now();
      // Half of the time is left to others.
      return (await purge(db, retentionDays)) ? performance.now() - began : jittered(pauseMs);
    }),
  );
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all([repairs[Symbol.asyncDispose](), removals[Symbol.asyncDispose]()]);
    },
  };
}
