import { type RawBuilder, sql } from "kysely";
import { type Trx, jobNotFound } from "./batch-jobs.ts";
import type { Database } from "./database.ts";

/*
 * Contacts of a file are added without the job's lock, which is taken at the end: workers go on meanwhile. So a lock of
 * its own keeps others from adding to the job. It goes with the transaction.
 */

const keyOf = (jobId: string) => sql`hashtextextended(${jobId}, 0)`;

async function isTaken(trx: Trx, lock: RawBuilder<unknown>): Promise<boolean> {
  const { rows } = await sql<{ taken: boolean }>`select ${lock} as taken`.execute(trx);
  return rows[0]?.taken === true;
}

/** True if no file is being added to the job; then none will be until this transaction has ended. */
export const holdOffFiles = (trx: Trx, jobId: string): Promise<boolean> =>
  isTaken(trx, sql`pg_try_advisory_xact_lock_shared(${keyOf(jobId)})`);

/** Waits until nobody else adds to the job, but not longer than a minute. */
export async function holdOffAll(trx: Trx, jobId: string): Promise<void> {
  await sql`set local lock_timeout = '60s'`.execute(trx);
  await sql`select pg_advisory_xact_lock(${keyOf(jobId)})`.execute(trx);
  await sql`set local lock_timeout = '5s'`.execute(trx);
}

/** How many phones one statement enters; a million take about five seconds. */
const phonesAtATime = 500_000;

/**
 * Enters the phones of a job whose contacts came from a file, in the order of phones, which costs a quarter of any other.
 * Nobody adds to the job meanwhile; workers go on. False if somebody else is adding to the job.
 */
export async function enterPhones(db: Database, jobId: string, atATime = phonesAtATime): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    if (!(await isTaken(trx, sql`pg_try_advisory_xact_lock(${keyOf(jobId)})`))) return false;
    const job = await trx
      .selectFrom("batch_jobs")
      .select(["total_contacts", "has_all_phones"])
      .where("id", "=", jobId)
      .executeTakeFirstOrThrow(() => jobNotFound(jobId));
    if (job.has_all_phones) return true;
    for (let after = 0; after < job.total_contacts; after += atATime) {
      await sql`
        insert into contact_phones (job_id, phone)
        select job_id, split_part(line, E'\\t', 1) as phone
        from contact_blocks cross join lateral string_to_table(contacts, E'\\n') as line
        where job_id = ${jobId} and first_number > ${after}::int and first_number <= ${after + atATime}::int
        order by phone
      `.execute(trx);
    }
    // A job that was deleted meanwhile has none.
    await trx
      .updateTable("batch_jobs")
      .set({ has_all_phones: true })
      .where("id", "=", jobId)
      .returning("id")
      .executeTakeFirstOrThrow(() => jobNotFound(jobId));
    return true;
  });
}
