import { type JobKey, beforeAllJobs } from "../domain/jobs/job-id.ts";
import type { Database } from "../postgres/connections/database.ts";

const batchSize = 1_000;

/** Walks through jobs in the order of their organizations and ids, and has something noted of those of each. */
export async function noteOfAll(
  db: Database,
  find: (db: Database, after: JobKey, limit: number) => Promise<readonly JobKey[]>,
  note: (db: Database, organizationId: number, ids: readonly string[]) => Promise<void>,
): Promise<void> {
  let after: JobKey = { organizationId: 0, id: beforeAllJobs };
  for (let full = true; full;) {
    const jobs = await find(db, after, batchSize);
    for (const [organizationId, own] of Map.groupBy(jobs, (job) => job.organizationId)) {
      await note(
        db,
        organizationId,
        own.map(({ id }) => id),
      );
    }
    after = jobs.at(-1) ?? after;
    full = jobs.length === batchSize;
  }
}
