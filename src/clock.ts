import type { Database } from "./postgres/database.ts";
import { databaseNow } from "./postgres/batch-jobs.ts";

/** The database's clock, as this replica knows it: its own monotonic clock and a measured offset. */
export type Clock = {
  /** The time in unix ms. */
  now(): number;
  /** Measures the offset anew. Throws if Postgres does not answer. */
  measure(): Promise<void>;
};

export async function startClock(db: Database): Promise<Clock> {
  let offsetMs = 0;
  const clock: Clock = {
    now: () => performance.now() + offsetMs,
    async measure() {
      const sent = performance.now();
      const time = await databaseNow(db);
      // The statement read the clock about half-way between sending and receiving.
      offsetMs = time.getTime() - (sent + performance.now()) / 2;
    },
  };
  // The first query of a pool also connects, which would count as time on the way.
  await clock.measure();
  await clock.measure();
  return clock;
}
