import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    // Which phones a job has. They are beside the contacts, and not in an index on them, so that they can be added in
    // the order of phones while contacts are added in the order of numbers: entries that come in any order cost an
    // index four times as much. Rows of a deleted job go with its contacts.
    sql`
      create table contact_phones (
        job_id uuid not null,
        phone text collate "C" not null,
        primary key (job_id, phone)
      )`,
    sql`insert into contact_phones (job_id, phone) select job_id, phone from contacts order by job_id, phone`,
    sql`drop index contacts_phone`,
    sql`create index batch_jobs_finished on batch_jobs (finished_at) where finished_at is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
