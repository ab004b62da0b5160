import { sql } from "kysely";
import type { CallingHours } from "../../src/domain/time/hours.ts";
import { eventually } from "./eventually.ts";
import type { Parts } from "./parts.ts";

const week = [1, 2, 3, 4, 5, 6, 7];
const dayMs = 24 * 60 * 60 * 1_000;

/** Hours that never end, as far as a test can tell. */
export const always: CallingHours = {
  windows: [{ days: week, startMinute: 0, endMinute: 1_440 }],
  exceptions: [],
  closeEarlyMs: 0,
};

/** Hours that begin in a month. */
export const notNow = (): CallingHours => ({
  windows: [],
  exceptions: [
    {
      date: new Date(Date.now() + 30 * dayMs).toISOString().slice(0, 10),
      windows: [{ startMinute: 600, endMinute: 720 }],
    },
  ],
  closeEarlyMs: 0,
});

/** A zone where it is this hour of the day now. */
export function zoneAt(hourOfDay: number): string {
  const ahead = ((hourOfDay - new Date().getUTCHours() + 36) % 24) - 12;
  return ahead === 0 ? "UTC" : `Etc/GMT${ahead > 0 ? "-" : "+"}${Math.abs(ahead)}`;
}

/** Hours around these hours of the day, which are at least three apart: an hour before and one after. */
export const hoursAround = (hoursOfDay: readonly number[]): CallingHours => ({
  windows: hoursOfDay.map((hour) => ({
    days: week,
    startMinute: 60 * (hour - 1),
    endMinute: 60 * (hour + 2),
  })),
  exceptions: [],
  closeEarlyMs: 0,
});

const fromNow = (ms: number) =>
  sql<Date>`date_trunc('milliseconds', clock_timestamp()) + ${`${ms} milliseconds`}::interval`;

/**
 * Moves the time in which a job's contacts of a set are open: it is so many ms from now. Answers it. Waits until it was
 * reckoned, which its start does not wait for.
 */
export async function moveOpening(
  { db }: Pick<Parts, "db">,
  jobId: string,
  { fromMs, untilMs, zoneSet = 0 }: { fromMs: number; untilMs: number; zoneSet?: number },
): Promise<{ from: Date; until: Date }> {
  await eventually(async () => {
    if ((await openingOf({ db }, jobId, zoneSet)).open_from === null)
      throw new Error("no opening is reckoned yet");
  });
  const { from, until } = await db
    .updateTable("zone_sets")
    .set({
      open_from: fromNow(fromMs),
      open_until: fromNow(untilMs),
      call_before: fromNow(untilMs + 120_000),
      next_look_at: fromNow(untilMs),
    })
    .where("job_id", "=", jobId)
    .where("zone_set", "=", zoneSet)
    .returning(["open_from as from", "open_until as until"])
    .executeTakeFirstOrThrow();
  if (from === null || until === null) throw new Error("an opening was not moved");
  return { from, until };
}

/** When a job's contacts of a set are open, as it is stored. */
export const openingOf = ({ db }: Pick<Parts, "db">, jobId: string, zoneSet = 0) =>
  db
    .selectFrom("zone_sets")
    .select(["open_from", "open_until", "call_before", "next_look_at"])
    .where("job_id", "=", jobId)
    .where("zone_set", "=", zoneSet)
    .executeTakeFirstOrThrow();
