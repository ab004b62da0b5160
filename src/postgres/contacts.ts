import { sql } from "kysely";
import type { JobStatus } from "../domain/batch-job.ts";
import type { AcceptedContact, StoredContactStatus } from "../domain/contact.ts";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "./database.ts";
import type { Numbers } from "../redis/contact-list.ts";
import type { AttemptRow, ContactRow } from "./tables.ts";

/**
 * Adds contacts to a job that this transaction has locked, numbered on from `lastNumber` in the order given, and skips
 * those whose phone the job has already. Answers the places of the skipped ones.
 *
 * The lateral join makes every look-up go through the phone index, however little the planner knows of the table. In
 * the order of phones the look-ups and the new entries come upon the same pages again, which halves their cost.
 */
export async function insertContacts(
  trx: Trx,
  jobId: string,
  lastNumber: number,
  contacts: readonly AcceptedContact[],
): Promise<number[]> {
  if (contacts.length === 0) return [];
  const { rows } = await sql<{ duplicates: number[] }>`
    with given as materialized (
      select g.index, g.phone, g.name, g.fields, known.phone is not null as is_duplicate
      from unnest(
        ${contacts.map((c) => c.index)}::int[],
        ${contacts.map((c) => c.phone)}::text[],
        ${contacts.map((c) => c.name)}::text[],
        ${contacts.map((c) => JSON.stringify(c.fields))}::text[]
      ) as g (index, phone, name, fields)
      left join lateral (
        select p.phone from contact_phones p where p.job_id = ${jobId} and p.phone = g.phone limit 1
      ) as known on true
      order by g.phone
    ), phones as (
      insert into contact_phones (job_id, phone) select ${jobId}, phone from given where not is_duplicate
    ), added as (
      insert into contacts (job_id, number, phone, name, fields)
      select ${jobId}, ${lastNumber}::int + row_number() over (order by index), phone, name, fields::jsonb
      from given
      where not is_duplicate
    )
    select coalesce(array_agg(index order by index) filter (where is_duplicate), '{}') as duplicates from given
  `.execute(trx);
  return rows[0]?.duplicates ?? [];
}

export type Chunk = { status: JobStatus; revision: number; total: number; numbers: Numbers };

type ChunkRow = Omit<Chunk, "numbers">;

/**
 * The pending contacts among the `size` numbers above `after`, and the job as the same statement saw it. Undefined if
 * the job is gone.
 */
export async function readChunk(
  db: Database,
  jobId: string,
  after: number,
  size: number,
): Promise<Chunk | undefined> {
  const pending = sql`
    from contacts c
    where c.job_id = j.id and c.number > ${after}::int and c.number <= ${after + size}::int and c.status = 'pending'
      and c.number not in (select number from leases where job_id = ${jobId})`;
  const counted = await sql<ChunkRow & { count: number }>`
    select j.status, j.revision, j.total_contacts as total, (select count(*)::int ${pending}) as count
    from batch_jobs j
    where j.id = ${jobId}
  `.execute(db);
  const [whole] = counted.rows;
  if (whole === undefined) return undefined;
  const { count, ...job } = whole;
  // At first all of them are pending, and their numbers need not travel.
  if (count === Math.min(size, job.total - after)) return { ...job, numbers: { first: after + 1, count } };
  const { rows } = await sql<ChunkRow & { numbers: string | null }>`
    select j.status, j.revision, j.total_contacts as total,
      (select string_agg(c.number::text, ',' order by c.number) ${pending}) as numbers
    from batch_jobs j
    where j.id = ${jobId}
  `.execute(db);
  const row = rows[0];
  return row && { ...row, numbers: row.numbers?.split(",") ?? [] };
}

/** The same where all of those are known to be pending: only the job is looked at. */
export async function wholeChunk(
  db: Database,
  jobId: string,
  after: number,
  size: number,
): Promise<Chunk | undefined> {
  const job = await db
    .selectFrom("batch_jobs")
    .select(["status", "revision", "total_contacts as total"])
    .where("id", "=", jobId)
    .executeTakeFirst();
  return job && { ...job, numbers: { first: after + 1, count: Math.min(size, job.total - after) } };
}

/** A contact with its attempts, the first one first. */
export async function findContact(
  db: Database,
  jobId: string,
  number: number,
): Promise<{ contact: ContactRow; attempts: AttemptRow[] } | undefined> {
  const contact = await db
    .selectFrom("current_contacts")
    .selectAll()
    .where("job_id", "=", jobId)
    .where("number", "=", number)
    .executeTakeFirst();
  if (contact === undefined) return undefined;
  const attempts = await db
    .selectFrom("all_attempts")
    .selectAll()
    .where("job_id", "=", jobId)
    .where("number", "=", number)
    .orderBy("attempt")
    .execute();
  return { contact, attempts };
}

/** One page of a job's contacts, by number. */
export async function listContacts(
  db: Database,
  jobId: string,
  statuses: readonly StoredContactStatus[] | undefined,
  page: { after: number; size: number },
): Promise<ContactRow[]> {
  return await db
    .selectFrom("current_contacts")
    .selectAll()
    .where("job_id", "=", jobId)
    .where("number", ">", page.after)
    .$if(statuses !== undefined, (q) => q.where(sql<boolean>`status = any(${statuses ?? []}::text[])`))
    .orderBy("number")
    .limit(page.size)
    .execute();
}

/**
 * Removes up to `size` contacts of one deleted job. Answers false if there was nothing to do, or if other replicas are
 * at work on all there is.
 */
export async function purgeDeletedContacts(db: Database, size: number): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const job = await trx
      .selectFrom("deleted_jobs")
      .selectAll()
      .limit(1)
      .forUpdate()
      .skipLocked()
      .executeTakeFirst();
    if (job === undefined) return false;
    const first = job.last_number - size;
    for (const table of ["contacts", "attempts", "retries"] as const) {
      await trx.deleteFrom(table).where("job_id", "=", job.job_id).where("number", ">", first).execute();
    }
    // As many phones as contacts, so that none are left when the last contacts go.
    await sql`
      delete from contact_phones where job_id = ${job.job_id} and phone = any (array(
        select phone from contact_phones where job_id = ${job.job_id} order by phone limit ${size}))
    `.execute(trx);
    if (first > 0) {
      await trx
        .updateTable("deleted_jobs")
        .set({ last_number: first })
        .where("job_id", "=", job.job_id)
        .execute();
    } else {
      await trx.deleteFrom("deleted_jobs").where("job_id", "=", job.job_id).execute();
    }
    return true;
  });
}
