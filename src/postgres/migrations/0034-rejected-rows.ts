import { type Kysely, sql } from "kysely";

/*
 * The rows that imports have rejected, as files in parts. A version before this one keeps none; where it deletes a job,
 * they are gone with their time.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table rejected_rows (
        organization_id int not null,
        job_id uuid not null,
        import_id uuid not null,
        part int not null,
        created_at timestamptz(3) not null default now(),
        csv text not null,
        primary key (organization_id, job_id, import_id, part)
      )`,
    sql`create index rejected_rows_by_age on rejected_rows (organization_id, created_at)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
