import { setTimeout as delay } from "node:timers/promises";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { JobKey } from "../domain/job-id.ts";
import { enterPhones } from "../postgres/adding.ts";
import type { Database } from "../postgres/database.ts";

/** Thrown by an addition that must not go on while a file is being added to the job. */
export const fileIsAdded = new BatchJobError(
  "unavailable",
  "A file is being added to the batch job; try again in a moment.",
);

/** Thrown by an addition that needs the phones of the job, which are not all entered. */
export class PhonesAreMissing extends Error {
  readonly job: JobKey;
  constructor(job: JobKey) {
    super(`the phones of ${job.id} are to be entered first`);
    this.job = job;
  }
}

/** For how long an addition waits for others. */
const patienceMs = 30_000;
const pauseMs = 50;

/** Repeats an addition that something keeps out; while it waits for others it holds no connection. */
export async function whenNothingKeepsOut<T>(db: Database, add: () => Promise<T>): Promise<T> {
  const patienceEnds = performance.now() + patienceMs;
  for (;;) {
    try {
      return await add();
    } catch (error) {
      const isMissing = error instanceof PhonesAreMissing;
      if (isMissing && (await enterPhones(db, error.job.organizationId, error.job.id))) continue;
      if (!isMissing && error !== fileIsAdded) throw error;
      if (performance.now() > patienceEnds) throw fileIsAdded;
      await delay(pauseMs * (1 + Math.random()));
    }
  }
}
