import { type Kysely, sql } from "kysely";

/** The counts of jobs over time; no more rows for a job than ../jobs/history.ts says. */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table history (
      organization_id int not null,
      job_id uuid not null,
      slot int not null,
      noted_at timestamptz(3) not null,
      counts int[] not null,
      primary key (organization_id, job_id, slot)
    )
  `.execute(db);
}
