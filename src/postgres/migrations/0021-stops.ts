import { type Kysely, sql } from "kysely";

/** What stops a job by itself: a start that is too late, and too many attempts that ended badly. */
export async function up(db: Kysely<never>): Promise<void> {
  // How the last attempts ended that pause_when looks at, the latest last: 1 for one of its outcomes.
  await sql`
    alter table batch_jobs
      add column start_within_ms bigint check (start_within_ms between 1 and 2592000000),
      add column pause_when jsonb,
      add column recent_outcomes bit varying(10000),
      add column pause_reason text`.execute(db);
}
