import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // A file that is a job's first contacts is compared with nothing but itself; its phones are entered into
  // contact_phones when something else is added to the job, which most jobs never see.
  await sql`alter table batch_jobs add column has_all_phones boolean not null default true`.execute(db);
}
