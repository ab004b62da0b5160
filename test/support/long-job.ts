import { sql } from "kysely";
import type { Database } from "../../src/postgres/connections/database.ts";

/** Makes a job's contacts as many as these, with long names: their file is longer than what is on its way at once. */
export async function makeLong(db: Database, batchJobId: string, contacts: number): Promise<void> {
  await sql`
    insert into contact_blocks (organization_id, job_id, first_number, contacts)
    select (select organization_id from batch_jobs where id = ${batchJobId}), ${batchJobId}::uuid, min(number),
      string_agg('+1415' || (5000000 + number) || E'\\t' || repeat('x', 199) || E'\\t{}', E'\\n' order by number)
    from generate_series(1, ${contacts}::int) as number
    group by (number - 1) / 8
  `.execute(db);
  await db
    .updateTable("batch_jobs")
    .set({ total_contacts: contacts, pending_contacts: contacts })
    .where("id", "=", batchJobId)
    .execute();
}

/** Those that read the next blocks just now are none the less open. */
const snapshots = sql`
  select pid from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid()
    and (state = 'idle in transaction' or (state = 'active' and query like '%from contact_blocks%'))`;

/** How many transactions wait for their owners, as those do that exports read in, or read a job's blocks. */
export async function openSnapshots(db: Database): Promise<number> {
  const { rows } = await sql`${snapshots}`.execute(db);
  return rows.length;
}

/** Breaks their connections. */
export async function breakSnapshots(db: Database): Promise<void> {
  await sql`select pg_terminate_backend(pid) from (${snapshots}) as s`.execute(db);
}
