import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      alter table organizations
        add column lease_limit int not null default 100 check (lease_limit >= 1),
        add column dialing int not null default 0 check (dialing >= 0)`,
    sql`create index batch_jobs_of_organization_running on batch_jobs (organization_id, id) where status = 'running'`,
    // One row per lease that was not released. Rows of a deleted job go with its contacts.
    sql`
      create table attempts (
        lease_id uuid primary key,
        job_id uuid not null,
        number int not null,
        attempt int not null check (attempt >= 1),
        worker_id text not null,
        request_id text not null,
        leased_at timestamptz(3) not null,
        expires_at timestamptz(3) not null,
        ended_at timestamptz(3),
        outcome text,
        reported_at timestamptz(3),
        error_code text,
        failure_reason text,
        call_duration_ms bigint,
        provider_call_id text,
        unique (job_id, number, attempt),
        constraint ended_has_outcome check ((ended_at is null) = (outcome is null)),
        constraint reported_has_ended check (reported_at is null or ended_at is not null)
      )`,
    sql`create index attempts_live on attempts (expires_at) where ended_at is null`,
    sql`create index attempts_live_by_request on attempts (request_id) where ended_at is null and request_id <> ''`,
    // The contacts that wait for another attempt. They are here, and not in an index on contacts, so that a contact's
    // row can change its status without touching an index.
    sql`
      create table retries (
        job_id uuid not null,
        number int not null,
        due_at timestamptz(3) not null,
        primary key (job_id, number)
      )`,
    sql`create index retries_due on retries (job_id, due_at)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
