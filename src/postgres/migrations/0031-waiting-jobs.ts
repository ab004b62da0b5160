import { type Kysely, sql } from "kysely";

/** Those whose starts can be moved are walked through by id, past all that have started long ago. */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create index batch_jobs_waiting on batch_jobs (organization_id, id) where status in ('pending', 'scheduled')
  `.execute(db);
}
