import { type Kysely, sql } from "kysely";

/*
 * When contacts may be called. The hours themselves are read by the service alone, which knows of time zones. What
 * Postgres judges by is a row for each set of zones that a job's contacts are in: the time in which it is open now, or
 * will be next.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    // Constant defaults are kept without a look at the rows.
    sql`
      alter table batch_jobs
        add column calling_hours jsonb,
        -- How many zone_sets there are of it. With none its contacts may be leased at any time.
        add column zone_sets smallint not null default 0`,
    // When the hours end in which it was given.
    sql`alter table leases add column call_before timestamptz(3)`,
    sql`
      create table zone_sets (
        organization_id int not null,
        job_id uuid not null,
        -- From 0; that is the job's own time zone.
        zone_set smallint not null,
        -- It is open from the one instant until before the other. Once that is over it is closed.
        open_from timestamptz(3),
        open_until timestamptz(3),
        -- When the hours end, a little later.
        call_before timestamptz(3),
        -- When the next such time is to be reckoned; null while the job does not run.
        next_look_at timestamptz(3),
        primary key (organization_id, job_id, zone_set),
        check ((open_from is null) = (open_until is null)),
        check (open_until <= call_before))`,
    sql`create index zone_sets_next_look on zone_sets (next_look_at) where next_look_at is not null`,
  ];
  for (const statement of statements) await statement.execute(db);
}
