import type { BatchJob } from "./batch-job.ts";

/** How many contacts of a job were in each status at one moment, and how many attempts had ended by then. */
export type CountsAt = Pick<BatchJob, "totalContacts" | "counts" | "endedAttempts"> & {
  readonly atMs: number;
};

/** What was noted of a job in a slot of time since its start, with the number of the slot. */
export type Noted = CountsAt & { readonly slot: number };

/** So long is a slot while a job is young, and so many there are at most: when they are full two become one. */
export const slotMs = 5_000;
export const mostSlots = 240;

/** How many of the first slots make one, when a job is as old as this slot. */
export const slotsInOne = (slot: number): number =>
  2 ** Math.max(0, Math.ceil(Math.log2((slot + 1) / mostSlots)));

/** Nobody was called yet. */
function atStart(startedAt: Date, { counts, totalContacts }: Omit<CountsAt, "atMs">): CountsAt {
  const nobody = Object.fromEntries(Object.keys(counts).map((status) => [status, 0])) as typeof counts;
  return {
    atMs: startedAt.getTime(),
    totalContacts,
    endedAttempts: 0,
    counts: { ...nobody, pending: totalContacts },
  };
}

/**
 * A job's counts from its start until now, or until it ended, of which the last are those that it has: what was noted
 * of it, and, since nothing is noted while nothing changes, where each such time ended. So straight lines from one to
 * the next show it.
 */
export function historyOf(job: BatchJob, noted: readonly Noted[], nowMs: number): CountsAt[] {
  const { startedAt, finishedAt, totalContacts, counts, endedAttempts } = job;
  if (startedAt === null) return [];
  const last: CountsAt = { atMs: finishedAt?.getTime() ?? nowMs, totalContacts, counts, endedAttempts };
  const between = noted.filter(({ atMs }) => atMs > startedAt.getTime() && atMs < last.atMs);
  const oneMs = slotMs * slotsInOne(between.at(-1)?.slot ?? 0);
  const history = [atStart(startedAt, between[0] ?? last)];
  for (const point of [...between, last]) {
    const before = history.at(-1);
    // What was before the first is not known of a job that an earlier version has started.
    if (history.length > 1 && before !== undefined && point.atMs - before.atMs > 3 * oneMs) {
      history.push({ ...before, atMs: point.atMs - oneMs });
    }
    history.push(point);
  }
  return history;
}
