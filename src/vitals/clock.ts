import type { Database } from "../postgres/connections/database.ts";
import { databaseNow } from "../postgres/jobs/batch-jobs.ts";

/** The database's clock, as this replica knows it: its own monotonic clock and a measured offset. */
export type Clock = {
  /** The time in unix ms. */
  now(): number;
  /** Measures the offset anew, and keeps what is known better. Throws if Postgres does not answer. */
  measure(): Promise<void>;
};

/** The offset is certainly no further off than `errorMs` was when it was measured. */
type Sample = { readonly offsetMs: number; readonly errorMs: number; readonly atMs: number };

/** So far two clocks drift apart, as a part of the time; ordinary ones do by less. */
const drift = 100e-6;

/** What Postgres tells is cut to it. */
const resolutionMs = 1;

/** At most so many samples are taken at once: until one comes and goes about as fast as the best. */
const mostSamples = 5;

async function takeSample(connection: Database): Promise<Sample> {
  const sentMs = performance.now();
  const time = await databaseNow(connection);
  const atMs = performance.now();
  // The statement read the clock about half-way between sending and receiving, and certainly between them.
  return {
    offsetMs: time.getTime() - (sentMs + atMs) / 2,
    errorMs: (atMs - sentMs) / 2 + resolutionMs,
    atMs,
  };
}

/** How far off the offset may be by now. */
const errorAt = (sample: Sample, nowMs: number): number => sample.errorMs + drift * (nowMs - sample.atMs);

/** The better of two samples. If they cannot both be right, one of the clocks was set, and the later one is. */
function better(known: Sample, found: Sample): Sample {
  const knownErrorMs = errorAt(known, found.atMs);
  const isContradicted = Math.abs(found.offsetMs - known.offsetMs) > knownErrorMs + found.errorMs;
  return isContradicted || found.errorMs <= knownErrorMs ? found : known;
}

/** A database whose connections nothing else waits for measures best; what one is waited for is no part of a sample. */
export async function startClock(db: Database): Promise<Clock> {
  let best: Sample | undefined;
  const clock: Clock = {
    now: () => performance.now() + (best?.offsetMs ?? 0),
    async measure() {
      await db.connection().execute(async (connection) => {
        for (let taken = 0; taken < mostSamples; taken += 1) {
          const found = await takeSample(connection);
          best = best === undefined ? found : better(best, found);
          if (best === found && taken > 0) return;
        }
      });
    },
  };
  await clock.measure();
  return clock;
}
