import { type Kysely, sql } from "kysely";

/*
 * The pace of a job, and of an organization: so many calls a second, of which the next may begin at an instant that
 * every lease moves on. The lease locks both rows anyway.
 */

export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    alter table organizations
      add column calls_per_second float8 check (calls_per_second between 0.01 and 1000),
      add column next_call_at timestamptz`.execute(db);
  await sql`
    alter table batch_jobs
      add column calls_per_second float8 check (calls_per_second between 0.01 and 1000),
      add column next_call_at timestamptz,
      add column ramp_up_ms bigint check (ramp_up_ms between 1 and 2592000000),
      add column priority smallint not null default 5 check (priority between 1 and 10)`.execute(db);
}
