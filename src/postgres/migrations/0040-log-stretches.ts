import { type Kysely, sql } from "kysely";

/*
 * What the log tells of a job is found by stretches of the log (../schema/large-indexes.ts). The indexes that had the
 * place of each row took a fifth of what an attempt takes; no release has read by them.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`drop index if exists attempts_of_job_in_log, events_of_job`.execute(db);
}
