import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // W3C's traceparent of what last scheduled or started the job, where that was traced. Without a default it is made
  // without a look at the rows, and a row that has none is no longer for it.
  await sql`
    alter table batch_jobs add column trace_context text check (octet_length(trace_context) <= 55)`.execute(
    db,
  );
}
