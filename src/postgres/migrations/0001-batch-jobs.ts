import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table organizations (
        id uuid primary key default gen_random_uuid(),
        name text not null unique check (name <> ''),
        created_at timestamptz(3) not null default date_trunc('milliseconds', clock_timestamp())
      )`,
    sql`
      create table api_keys (
        id uuid primary key default gen_random_uuid(),
        organization_id uuid not null references organizations,
        name text not null,
        role text not null check (role in ('admin', 'operator', 'viewer', 'worker')),
        hash bytea not null unique check (length(hash) = 32),
        created_at timestamptz(3) not null default date_trunc('milliseconds', clock_timestamp()),
        expires_at timestamptz(3),
        revoked_at timestamptz(3)
      )`,
    // The counts of the contacts that a cancelled job cancelled stay in pending_contacts and waiting_retry_contacts.
    sql`
      create table batch_jobs (
        id uuid primary key default gen_random_uuid(),
        organization_id uuid not null references organizations,
        name text not null,
        description text not null,
        from_phone_number_id text not null,
        status text not null,
        failure_reason text,
        revision bigint not null default 1,
        timezone text not null,
        requested_start_time text,
        scheduled_at timestamptz(3),
        scheduled_job_id uuid,
        created_at timestamptz(3) not null default date_trunc('milliseconds', clock_timestamp()),
        updated_at timestamptz(3) not null default date_trunc('milliseconds', clock_timestamp()),
        started_at timestamptz(3),
        finished_at timestamptz(3),
        start_lag_ms bigint,
        concurrent_call_limit int not null check (concurrent_call_limit between 1 and 1000),
        max_attempts int not null check (max_attempts between 1 and 10),
        retry_on text[] not null,
        retry_delays_ms bigint[] not null,
        total_contacts int not null default 0,
        pending_contacts int not null default 0 check (pending_contacts >= 0),
        dialing_contacts int not null default 0 check (dialing_contacts >= 0),
        waiting_retry_contacts int not null default 0 check (waiting_retry_contacts >= 0),
        completed_contacts int not null default 0 check (completed_contacts >= 0),
        no_answer_contacts int not null default 0 check (no_answer_contacts >= 0),
        busy_contacts int not null default 0 check (busy_contacts >= 0),
        timeout_contacts int not null default 0 check (timeout_contacts >= 0),
        voicemail_contacts int not null default 0 check (voicemail_contacts >= 0),
        blocked_contacts int not null default 0 check (blocked_contacts >= 0),
        invalid_number_contacts int not null default 0 check (invalid_number_contacts >= 0),
        carrier_error_contacts int not null default 0 check (carrier_error_contacts >= 0),
        failed_contacts int not null default 0 check (failed_contacts >= 0),
        unknown_contacts int not null default 0 check (unknown_contacts >= 0),
        constraint status_is_known check (
          status in ('pending', 'scheduled', 'running', 'paused', 'completed', 'failed', 'cancelled')),
        constraint scheduled_has_entry check (
          (status = 'scheduled') = (scheduled_job_id is not null)
          and (scheduled_job_id is null or scheduled_at is not null)),
        constraint started_has_time check (
          case
            when status in ('pending', 'scheduled') then started_at is null
            when status in ('running', 'paused', 'completed') then started_at is not null
            else true
          end),
        constraint final_has_time check (
          (status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)),
        constraint failed_has_reason check ((status = 'failed') = (failure_reason is not null)),
        constraint lag_needs_start check (start_lag_ms is null or (start_lag_ms >= 0 and scheduled_at is not null)),
        constraint dialing_needs_start check (dialing_contacts = 0 or started_at is not null),
        constraint counts_add_up check (
          total_contacts = pending_contacts + dialing_contacts + waiting_retry_contacts + completed_contacts
            + no_answer_contacts + busy_contacts + timeout_contacts + voicemail_contacts + blocked_contacts
            + invalid_number_contacts + carrier_error_contacts + failed_contacts + unknown_contacts)
      )`,
    sql`create index batch_jobs_newest on batch_jobs (organization_id, created_at desc, id desc)`,
    sql`create unique index batch_jobs_scheduled_job_id on batch_jobs (scheduled_job_id) where status = 'scheduled'`,
    sql`create index batch_jobs_due on batch_jobs (scheduled_at, id) where status = 'scheduled'`,
    sql`create index batch_jobs_running on batch_jobs (id) where status = 'running'`,
    // No foreign key: rows of a deleted job are removed after it, in chunks, and every insert holds the job's row lock.
    sql`
      create table contacts (
        job_id uuid not null,
        number int not null,
        phone text collate "C" not null,
        name text not null,
        fields jsonb not null,
        status text not null default 'pending' check (
          status in ('pending', 'dialing', 'waiting_retry', 'completed', 'no_answer', 'busy', 'timeout', 'voicemail',
                     'blocked', 'invalid_number', 'carrier_error', 'failed', 'unknown')),
        attempts int not null default 0 check (attempts >= 0),
        last_outcome text,
        next_attempt_at timestamptz(3),
        primary key (job_id, number),
        constraint waiting_has_time check ((status = 'waiting_retry') = (next_attempt_at is not null))
      )`,
    sql`create unique index contacts_phone on contacts (job_id, phone)`,
    // Jobs that are gone and whose contacts are still there, up to last_number.
    sql`
      create table deleted_jobs (
        job_id uuid primary key,
        last_number int not null
      )`,
    sql`
      create table requests (
        organization_id uuid not null,
        rpc text not null,
        request_id text not null,
        fingerprint bytea not null,
        answer jsonb,
        entry_removed boolean,
        created_at timestamptz(3) not null default date_trunc('milliseconds', clock_timestamp()),
        primary key (organization_id, rpc, request_id)
      )`,
    sql`create index requests_created_at on requests (created_at)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
