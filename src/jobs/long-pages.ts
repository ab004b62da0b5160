import { createSharedSeats } from "../postgres/connections/seats.ts";

/** A page of no more entries takes the event loop for a moment. */
const shortPage = 100;

/** As long as for a connection. */
const patienceMs = 5_000;

/** After a long page its organization's next one waits for as long as it took, and no longer than this. */
const longestRestMs = 250;

/** Where more than so many ask for long pages of an organization at a time, they are given short ones. */
const mostLong = 4;

/** Reads a page of so many entries at most. */
type Work<T> = (size: number) => Promise<T>;

/**
 * Reads the long pages of each organization one after the other: a thousand entries take the event loop for some tens
 * of milliseconds, when they come from Postgres and when they are written. The work is given the size that the page
 * may have. Those who wait for too long are refused as busy.
 */
export function createLongPages() {
  const take = createSharedSeats({ mostOfOne: 1, beyondFirst: 0 });
  const asking = new Map<number, number>();

  function ask(organizationId: number, by: 1 | -1): void {
    const count = (asking.get(organizationId) ?? 0) + by;
    if (count === 0) asking.delete(organizationId);
    else asking.set(organizationId, count);
  }

  async function inTurn<T>(organizationId: number, size: number, work: Work<T>): Promise<T> {
    const leave = await take(organizationId, patienceMs);
    const beganMs = performance.now();
    // What is made of the page at once is part of its turn.
    const rest = () => setTimeout(leave, Math.min(performance.now() - beganMs, longestRestMs));
    try {
      return await work((asking.get(organizationId) ?? 0) > mostLong ? shortPage : size);
    } finally {
      setImmediate(rest);
    }
  }

  return async function readPage<T>(
    { organizationId, size }: { organizationId: number; size: number },
    work: Work<T>,
  ): Promise<T> {
    if (size <= shortPage) return await work(size);
    ask(organizationId, 1);
    try {
      return await inTurn(organizationId, size, work);
    } finally {
      ask(organizationId, -1);
    }
  };
}
