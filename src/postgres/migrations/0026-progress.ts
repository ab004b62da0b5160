import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // How many contacts of a job were final at which of the last instants that were noted.
  await sql`
    create table progress (
      organization_id int not null,
      job_id uuid not null,
      noted_at timestamptz(3)[] not null,
      final_contacts int[] not null,
      primary key (organization_id, job_id)
    )`.execute(db);
}
