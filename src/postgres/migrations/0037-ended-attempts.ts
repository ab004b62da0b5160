import { type Kysely, sql } from "kysely";

/*
 * How many attempts of a job have ended, for the history too. Of those before, and of what versions before this one
 * end, nothing is counted: it is read for how fast it grows.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table batch_jobs add column ended_attempts int not null default 0`.execute(db);
  await sql`alter table history add column ended_attempts int`.execute(db);
}
