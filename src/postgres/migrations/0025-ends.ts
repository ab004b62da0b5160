import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // From then on no contact of a job is leased, and it ends.
  await sql`alter table batch_jobs add column end_at timestamptz(3)`.execute(db);
  await sql`
    create index batch_jobs_end_at on batch_jobs (end_at) where end_at is not null and finished_at is null
  `.execute(db);
}
