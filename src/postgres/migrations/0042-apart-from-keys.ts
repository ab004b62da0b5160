import { type Kysely, sql } from "kysely";

/*
 * Where a vacuum has found a table empty, each of its indexes is as good as its key to a planner, and it read all of an
 * organization's requests, labels or scheduled jobs by another one for one row. Now these are for those alone who ask
 * by what they are for: whoever compares a column with something means no null. An entry of the schedule is looked up
 * by itself: only a scheduled job has one, as the check `scheduled_has_entry` says.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`drop index batch_jobs_scheduled_job_id, requests_created_at, job_labels_by_job`,
    sql`
      create unique index batch_jobs_scheduled_job_id on batch_jobs (scheduled_job_id)
      where scheduled_job_id is not null`,
    sql`
      create index requests_created_at on requests (organization_id, created_at)
      where created_at is not null`,
    sql`
      create index job_labels_by_job on job_labels (organization_id, job_id)
      where job_id is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
