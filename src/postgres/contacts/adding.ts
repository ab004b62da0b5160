import { type RawBuilder, sql } from "kysely";
import { type Trx, jobNotFound } from "../jobs/batch-jobs.ts";
import { phonesBetween } from "./contact-blocks.ts";
import { type Database, codeOf } from "../connections/database.ts";

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

/** How many phones one transaction enters: a fraction of a second of work, or, where each takes its time, fewer. */
const phonesAtATime = { most: 50_000, least: 100 };

/**
 * Enters the phones of a job whose contacts came from a file: some at a time, each time in the order of phones, which
 * costs a quarter of any other. What was entered stays, whatever becomes of the rest. Nobody adds to the job
 * meanwhile; workers go on. False if somebody else is adding to the job.
 */
export async function enterPhones(
  db: Database,
  organizationId: number,
  jobId: string,
  atATime = phonesAtATime,
): Promise<boolean> {
  let size = atATime.most;
  for (;;) {
    try {
      const step = await enterSome(db, organizationId, jobId, size);
      if (step !== "goes on") return step === "done";
    } catch (error) {
      if (!isOutOfTime(error) || size <= atATime.least) throw error;
      size = Math.max(atATime.least, Math.floor(size / 2));
    }
  }
}

const isOutOfTime = (error: unknown): boolean => codeOf(error) === "57014";

async function enterSome(
  db: Database,
  organizationId: number,
  jobId: string,
  size: number,
): Promise<"done" | "goes on" | "kept out"> {
  return await db.transaction().execute(async (trx) => {
    if (!(await isTaken(trx, sql`pg_try_advisory_xact_lock(${keyOf(jobId)})`))) return "kept out";
    const job = await trx
      .selectFrom("batch_jobs")
      .select(["total_contacts", "has_all_phones", "phones_up_to"])
      .where("organization_id", "=", organizationId)
      .where("id", "=", jobId)
      .executeTakeFirstOrThrow(() => jobNotFound(jobId));
    if (job.has_all_phones) return "done";
    const upTo = Math.min(job.phones_up_to + size, job.total_contacts);
    await sql`
      insert into contact_phones (organization_id, job_id, phone, number)
      select ${organizationId}, ${jobId}, phone, number
      from ${phonesBetween({ organizationId, id: jobId }, job.phones_up_to, upTo)} as phones
      order by phone
    `.execute(trx);
    const isAll = upTo === job.total_contacts;
    // A job that was deleted meanwhile has none.
    await trx
      .updateTable("batch_jobs")
      .set({ has_all_phones: isAll, phones_up_to: upTo })
      .where("organization_id", "=", organizationId)
      .where("id", "=", jobId)
      .returning("id")
      .executeTakeFirstOrThrow(() => jobNotFound(jobId));
    return isAll ? "done" : "goes on";
  });
}
