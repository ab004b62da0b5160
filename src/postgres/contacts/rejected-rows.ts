import { type RawBuilder, sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { organizationsWithOver, purgeOver } from "../day-old.ts";
import { often } from "../connections/prepared.ts";

/*
 * The rows that an import has rejected, as a file in parts. They hold what people wrote, and so are kept for a day
 * only, and gone with their job.
 */

/** The rejected rows of one import. */
export type RejectedFile = {
  readonly organizationId: number;
  readonly jobId: string;
  readonly importId: string;
};

const partBytes = 64 * 1024;

/** So much is kept of an organization; what is oldest goes first. */
const mostKeptBytes = 1024 ** 3;

/** Keeps staged rows as the file of an import, in the order of their lines. */
export async function keepRejectedRows(
  trx: Trx,
  staged: RawBuilder<unknown>,
  { organizationId, jobId, importId }: RejectedFile,
  mostBytes = mostKeptBytes,
): Promise<void> {
  await sql`
    insert into rejected_rows (organization_id, job_id, import_id, part, csv)
    select ${organizationId}, ${jobId}, ${importId}, part, string_agg(csv, '' order by line)
    from (
      select line, csv, (sum(octet_length(csv)) over (order by line) / ${partBytes}::int)::int as part from ${staged}
    ) as s
    group by part
  `.execute(trx);
  await sql`
    with files as (
      select job_id, import_id, sum(octet_length(csv)) as bytes, max(created_at) as created_at from rejected_rows
      where organization_id = ${organizationId} group by job_id, import_id
    ), surplus as (
      select job_id, import_id from (
        select *, sum(bytes) over (order by created_at desc, import_id) as bytes_so_far from files
      ) as f
      where bytes_so_far > ${mostBytes}::bigint and import_id <> ${importId}
    )
    delete from rejected_rows where ctid = any (array(
      select r.ctid from rejected_rows r join surplus s on s.job_id = r.job_id and s.import_id = r.import_id
      where r.organization_id = ${organizationId} for update of r skip locked))
  `.execute(trx);
}

/** The last part of a file; undefined if it is not kept. */
export async function lastPart(
  db: Database,
  { organizationId, jobId, importId }: RejectedFile,
): Promise<number | undefined> {
  const { rows } = await sql<{ part: number | null }>`${often}
    select max(part) as part from rejected_rows
    where organization_id = ${organizationId} and job_id = ${jobId} and import_id = ${importId}
  `.execute(db);
  return rows[0]?.part ?? undefined;
}

/** The part of a file that follows one; undefined if there is none. */
export async function nextPart(
  db: Database,
  { organizationId, jobId, importId }: RejectedFile,
  after: number,
): Promise<{ part: number; csv: string } | undefined> {
  const { rows } = await sql<{ part: number; csv: string }>`${often}
    select part, csv from rejected_rows
    where organization_id = ${organizationId} and job_id = ${jobId} and import_id = ${importId} and part > ${after}::int
    order by part limit 1
  `.execute(db);
  return rows[0];
}

/** Up to `limit` organizations that have files whose time is over. */
export const organizationsWithOldRejectedRows = (db: Database, limit: number): Promise<number[]> =>
  organizationsWithOver(db, "rejected_rows", limit);

/** Removes up to `size` parts of an organization's files whose time is over; answers how many. */
export const purgeRejectedRows = (db: Database, organizationId: number, size: number): Promise<number> =>
  purgeOver(db, "rejected_rows", organizationId, size);
