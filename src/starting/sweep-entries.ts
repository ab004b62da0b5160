import type { Clock } from "../vitals/clock.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import { type ScheduleEntry, standingEntries } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import { type ScheduledJob, entriesDueSoon, scheduledEntries } from "../postgres/jobs/sweep.ts";
import type { Entry, Schedule } from "../redis/schedule.ts";
import { createSuspicions, settledMs } from "./suspicions.ts";

const chunkSize = 1_000;

const toEntry = ({ scheduledJobId, scheduledStartTime }: ScheduleEntry): Entry => ({
  scheduledJobId,
  scheduledStartTimeMs: scheduledStartTime.getTime(),
});

/** The rules of the sweep for the sorted set of scheduled starts. */
export function createEntrySweep(deps: {
  db: Database;
  schedule: Schedule;
  clock: Clock;
  /** Told how much a rule has put right. */
  note: (rule: string, count: number) => void;
}) {
  const { db, schedule, clock, note } = deps;
  const suspicions = createSuspicions();
  let scanCursor = "0";
  /** Entries that the last pass found standing for nothing: no more than one slice has. */
  let stale: readonly string[] = [];

  return {
    /** Fills the sorted set again after Redis lost its data. */
    async refill(): Promise<void> {
      if (await schedule.isFilled()) return;
      let added = 0;
      for (let after: ScheduledJob | undefined, full = true; full;) {
        const entries = await scheduledEntries(db, after, chunkSize);
        added += await schedule.addMissing(entries.map(toEntry));
        after = entries.at(-1);
        full = entries.length === chunkSize;
      }
      await schedule.markFilled();
      note("schedule_refilled", added);
    },

    /** Adds entries that are due soon and not there; brings those forward whose time has long passed. */
    async addMissing(): Promise<void> {
      const soon = await entriesDueSoon(db, chunkSize);
      const times = await schedule.dueTimes(soon.map((entry) => entry.scheduledJobId));
      suspicions.begin();
      const suspects = soon.filter((entry, i) => {
        const isLate = entry.isOverdue && Number(times[i]) > clock.now() + 15_000;
        if (times[i] !== undefined && !isLate) return false;
        const ageMs = suspicions.ageMs(entry.scheduledJobId) ?? 0;
        return entry.isSettled || ageMs >= settledMs;
      });
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
    },

    /**
     * Takes off the entries that stood for nothing in the last pass too, and looks at a slice for others: those are
     * about to be taken off by the command or the scheduler that has just ended their job's schedule.
     */
    async removeStale(): Promise<void> {
      const { cursor, scheduledJobIds } = await schedule.scan(scanCursor, chunkSize);
      const looked = [...new Set([...stale, ...scheduledJobIds])];
      const standing = await standingEntries(db, looked.filter(isUuid));
      const known = new Set(standing.map((entry) => entry.scheduledJobId));
      const found = looked.filter((id) => !known.has(id));
      const before = new Set(stale);
      note("entry_stale", await schedule.removeAll(found.filter((id) => before.has(id))));
      stale = found.filter((id) => !before.has(id));
      scanCursor = cursor;
    },
  };
}
