import { type Kysely, sql } from "kysely";

/*
 * Where a phone is found. The contacts that were given one by one have a row for each phone already, to which their
 * numbers come; those of before have none there, and are looked for in their job. Contacts that came with a file, or
 * from another job, are sorted by their phones afterwards (sorted-phones.ts): the rows for that go with the job,
 * whichever version deletes it.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`alter table contact_phones add column number int`,
    sql`
      create table sorted_phones (
        organization_id int not null,
        part int not null,
        job_id uuid not null,
        first_phone bigint not null,
        phones bigint[] not null,
        numbers int[] not null,
        primary key (organization_id, job_id, part, first_phone),
        foreign key (organization_id, job_id) references batch_jobs (organization_id, id) on delete cascade
      )`,
    // How many contacts of a job are sorted, from the first on.
    sql`alter table batch_jobs add column sorted_up_to int not null default 0`,
    sql`
      create index batch_jobs_unsorted on batch_jobs (organization_id, id)
      where not has_all_phones and sorted_up_to < total_contacts`,
  ];
  for (const statement of statements) await statement.execute(db);
}
