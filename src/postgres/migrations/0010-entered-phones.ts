import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // The phones of a file that was a job's first contacts are entered some at a time; this is the number of the last
  // contact whose phone is there.
  await sql`alter table batch_jobs add column phones_up_to int not null default 0`.execute(db);
}
