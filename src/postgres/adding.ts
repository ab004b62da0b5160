import { sql } from "kysely";
import type { Trx } from "./batch-jobs.ts";

/*
 * Contacts of a file are added without the job's lock, which is taken at the end: workers go on meanwhile. So a lock of
 * its own keeps others from adding to the job. It goes with the transaction.
 */

const keyOf = (jobId: string) => sql`hashtextextended(${jobId}, 0)`;

/** True if no file is being added to the job; then none will be until this transaction has ended. */
export async function holdOffFiles(trx: Trx, jobId: string): Promise<boolean> {
  const { rows } = await sql<{ held: boolean }>`
    select pg_try_advisory_xact_lock_shared(${keyOf(jobId)}) as held
  `.execute(trx);
  return rows[0]?.held === true;
}

/** Waits until nobody else adds to the job, but not longer than a minute. */
export async function holdOffAll(trx: Trx, jobId: string): Promise<void> {
  await sql`set local lock_timeout = '60s'`.execute(trx);
  await sql`select pg_advisory_xact_lock(${keyOf(jobId)})`.execute(trx);
  await sql`set local lock_timeout = '5s'`.execute(trx);
}
