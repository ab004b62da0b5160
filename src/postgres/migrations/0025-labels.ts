import { type Kysely, sql } from "kysely";

/*
 * The labels of a job stand in its row, where they are shown. So that jobs are found by them, newest first, there is a
 * row for each of them, in the order of a list. Triggers keep those, whichever version creates or deletes a job; a job
 * without labels does not come there.
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
        primary key (organization_id, key, value, created_at, job_id)
      )`,
    sql`
      create function write_labels() returns trigger language plpgsql as $$
      begin
        if tg_op <> 'INSERT' then
          delete from job_labels l using jsonb_each_text(old.labels) as label (key, value)
          where l.organization_id = old.organization_id and l.key = label.key and l.value = label.value
            and l.created_at = old.created_at and l.job_id = old.id;
        end if;
        if tg_op <> 'DELETE' then
          insert into job_labels (organization_id, key, value, created_at, job_id)
          select new.organization_id, key, value, new.created_at, new.id from jsonb_each_text(new.labels);
        end if;
        return null;
      end $$`,
    sql`
      create trigger labels_of_new_job after insert on batch_jobs
      for each row when (new.labels <> '{}') execute function write_labels()`,
    sql`
      create trigger labels_of_changed_job after update of labels on batch_jobs
      for each row when (new.labels <> old.labels) execute function write_labels()`,
    sql`
      create trigger labels_of_deleted_job after delete on batch_jobs
      for each row when (old.labels <> '{}') execute function write_labels()`,
    sql`create index batch_jobs_by_status on batch_jobs (organization_id, status, created_at, id)`,
    sql`
      create index batch_jobs_by_start on batch_jobs (organization_id, scheduled_at)
      where scheduled_at is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
