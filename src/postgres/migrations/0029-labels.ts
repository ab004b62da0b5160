import { type Kysely, sql } from "kysely";

/*
 * The labels of a job stand in its row, where they are shown. So that jobs are found by them, newest first, there is a
 * row for each of them, in the order of a list. Whoever writes labels writes those, too; they go with the job,
 * whichever version deletes it.
 *
 * Two more indexes find the jobs in a status, which are counted in it alone, and those that start in a time.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`alter table batch_jobs add column labels jsonb not null default '{}'`,
    sql`
      create table job_labels (
        organization_id int not null,
        key text collate "C" not null,
        value text collate "C" not null,
        created_at timestamptz(3) not null,
        job_id uuid not null,
        primary key (organization_id, key, value, created_at, job_id),
        foreign key (organization_id, job_id) references batch_jobs (organization_id, id) on delete cascade
      )`,
    sql`create index job_labels_by_job on job_labels (organization_id, job_id)`,
    sql`create index batch_jobs_by_status on batch_jobs (organization_id, status, created_at, id)`,
    sql`
      create index batch_jobs_by_start on batch_jobs (organization_id, scheduled_at)
      where scheduled_at is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
