import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // When a paused job is to go on by itself.
  await sql`alter table batch_jobs add column resume_at timestamptz(3)`.execute(db);
  await sql`create index batch_jobs_resume_at on batch_jobs (resume_at) where resume_at is not null`.execute(
    db,
  );
}
