import { createSharedSeats } from "../postgres/connections/seats.ts";

/** A page of no more entries takes the event loop for a moment. */
const shortPage = 100;

/** As long as for a connection. */
const patienceMs = 5_000;

/** After a long page its organization's next one waits for as long as it took, and no longer than this. */
const longestRestMs = 250;

/**
 * Reads the long pages of each organization one after the other: a thousand entries take the event loop for
 * milliseconds, when they come from Postgres and when they are written. Those who wait for too long are refused as
 * busy.
 */
export function createLongPages() {
  const take = createSharedSeats({ mostOfOne: 1, beyondFirst: 0 });

  return async function inTurn<T>(
    { organizationId, size }: { organizationId: number; size: number },
    work: () => Promise<T>,
  ): Promise<T> {
    if (size <= shortPage) return await work();
    const leave = await take(organizationId, patienceMs);
    const beganMs = performance.now();
    // What is made of the page at once is part of its turn.
    const rest = () => setTimeout(leave, Math.min(performance.now() - beganMs, longestRestMs));
    try {
      return await work();
    } finally {
      setImmediate(rest);
    }
  };
}
