import { type Kysely, sql } from "kysely";

/*
 * Live leases get a narrow table of their own, and an attempt is written once, when it has ended. While a contact is
 * leased its row stands still: `dialing` is in no row, it follows from the lease.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table leases (
        job_id uuid not null,
        number int not null,
        attempt int not null check (attempt >= 1),
        nonce bigint not null,
        worker_id text not null,
        request_id text not null,
        leased_at timestamptz(3) not null,
        expires_at timestamptz(3) not null,
        primary key (job_id, number)
      )`,
    sql`create index leases_expires_at on leases (expires_at)`,
    sql`create index leases_by_request on leases (request_id) where request_id <> ''`,
    // The ids of leases have another form now: those that are live end by running out.
    sql`
      insert into leases (job_id, number, attempt, nonce, worker_id, request_id, leased_at, expires_at)
      select job_id, number, attempt, 0, worker_id, request_id, leased_at, expires_at
      from attempts where ended_at is null`,
    sql`delete from attempts where ended_at is null`,
    sql`
      alter table attempts
        drop column lease_id,
        drop column request_id,
        drop constraint ended_has_outcome,
        drop constraint reported_has_ended,
        drop constraint attempts_job_id_number_attempt_key,
        add column nonce bigint not null default 0,
        alter column ended_at set not null,
        alter column outcome set not null,
        add primary key (job_id, number, attempt)`,
    sql`alter table attempts alter column nonce drop default`,
    sql`
      update contacts c
      set attempts = l.attempt - 1, status = case when l.attempt = 1 then 'pending' else 'waiting_retry' end,
        next_attempt_at = case when l.attempt > 1 then l.leased_at end
      from leases l
      where c.job_id = l.job_id and c.number = l.number`,
    sql`
      alter table contacts
        drop constraint contacts_status_check,
        add constraint status_is_known check (
          status in ('pending', 'waiting_retry', 'completed', 'no_answer', 'busy', 'timeout', 'voicemail', 'blocked',
                     'invalid_number', 'carrier_error', 'failed', 'unknown'))`,
    // Every attempt, also the one that goes on.
    sql`
      create view all_attempts as
      select job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, reported_at,
        error_code, failure_reason, call_duration_ms, provider_call_id
      from attempts
      union all
      select job_id, number, attempt, nonce, worker_id, leased_at, expires_at, null, null, null, null, null, null, null
      from leases`,
  ];
  for (const statement of statements) await statement.execute(db);
}
