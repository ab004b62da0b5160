import { type Kysely, type RawBuilder, sql } from "kysely";

type Sql = RawBuilder<unknown>;

/*
 * Every row says whose it is: an organization is a number of four bytes, which is the first column of every key. Tables
 * are written anew rather than changed row by row, so that they are not twice as large afterwards.
 *
 * What the number takes is saved elsewhere: columns of fixed width come before texts, which leaves no holes between
 * them, and a phone is kept as the number that it is.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    // Whole tables are read here.
    sql`set local enable_seqscan = on`,
    sql`drop view all_attempts`,
    sql`drop view current_contacts`,

    sql`alter table organizations add column number int generated always as identity`,
    sql`
      create function pg_temp.number_of(organization uuid) returns int stable language sql
      as 'select number from organizations where id = $1'`,
    sql`alter table api_keys drop constraint api_keys_organization_id_fkey`,
    sql`alter table batch_jobs drop constraint batch_jobs_organization_id_fkey`,
    sql`
      alter table api_keys
        drop constraint api_keys_pkey,
        alter column organization_id type int using pg_temp.number_of(organization_id),
        add primary key (organization_id, id)`,

    sql`drop index batch_jobs_finished`,
    sql`
      alter table batch_jobs
        drop constraint batch_jobs_pkey,
        alter column organization_id type int using pg_temp.number_of(organization_id),
        add primary key (organization_id, id)`,
    sql`create index batch_jobs_finished on batch_jobs (organization_id, finished_at) where finished_at is not null`,

    // Kept answers name the organization of their job.
    sql`
      update requests r
      set answer = replace(
        answer::text, format('"organizationId": "%s"', o.id), format('"organizationId": %s', o.number))::jsonb
      from organizations o where o.id = r.organization_id and r.answer is not null`,
    sql`drop index requests_created_at`,
    sql`alter table requests alter column organization_id type int using pg_temp.number_of(organization_id)`,
    sql`create index requests_created_at on requests (organization_id, created_at)`,

    ...rewritten(
      "contact_blocks",
      sql`
        organization_id int not null,
        job_id uuid not null,
        first_number int not null check (first_number >= 1),
        contacts text collate "C" not null check (contacts <> '')`,
      sql`job_id, first_number, contacts`,
    ),
    sql`alter table contact_blocks add primary key (organization_id, job_id, first_number)`,

    ...rewritten(
      "contact_phones",
      sql`
        organization_id int not null,
        job_id uuid not null,
        phone bigint not null`,
      sql`job_id, phone`,
      sql`job_id, substr(phone, 2)::bigint`,
    ),
    sql`alter table contact_phones add primary key (organization_id, job_id, phone)`,

    ...rewritten(
      "leases",
      sql`
        organization_id int not null,
        job_id uuid not null,
        number int not null,
        attempt int not null check (attempt >= 1),
        nonce bigint not null,
        leased_at timestamptz(3) not null,
        expires_at timestamptz(3) not null,
        ticket bigint not null default 0,
        worker_id text not null,
        request_id text not null`,
      sql`job_id, number, attempt, nonce, leased_at, expires_at, ticket, worker_id, request_id`,
    ),
    sql`alter table leases add primary key (organization_id, job_id, number)`,
    sql`create index leases_expires_at on leases (expires_at)`,
    sql`create index leases_by_request on leases (organization_id, request_id) where request_id <> ''`,

    ...rewritten(
      "attempts",
      sql`
        organization_id int not null,
        job_id uuid not null,
        number int not null,
        nonce bigint not null,
        leased_at timestamptz(3) not null,
        expires_at timestamptz(3) not null,
        ended_at timestamptz(3) not null,
        next_attempt_at timestamptz(3),
        reported_at timestamptz(3),
        call_duration_ms bigint,
        attempt smallint not null check (attempt >= 1),
        worker_id text not null,
        outcome text not null,
        error_code text,
        failure_reason text,
        provider_call_id text,
        constraint outcome_is_known check (
          outcome in ('completed', 'no_answer', 'busy', 'timeout', 'voicemail', 'blocked', 'invalid_number',
                      'carrier_error', 'failed', 'unknown'))`,
      sql`
        job_id, number, attempt, nonce, leased_at, expires_at, ended_at, next_attempt_at, reported_at, call_duration_ms,
        worker_id, outcome, error_code, failure_reason, provider_call_id`,
    ),
    sql`alter table attempts add primary key (organization_id, job_id, number, attempt)`,

    ...rewritten(
      "retries",
      sql`
        organization_id int not null,
        job_id uuid not null,
        number int not null,
        due_at timestamptz(3) not null`,
      sql`job_id, number, due_at`,
    ),
    sql`create index retries_due on retries (organization_id, job_id, due_at)`,
    sql`alter table retries add primary key (organization_id, job_id, number)`,

    // What was left of deleted jobs has not been copied.
    sql`drop table deleted_jobs`,
    sql`
      create table deleted_jobs (
        organization_id int not null,
        job_id uuid not null,
        last_number int not null,
        primary key (organization_id, job_id)
      )`,

    sql`alter table organizations drop column id`,
    sql`alter table organizations rename column number to id`,
    sql`alter table organizations add primary key (id)`,
    sql`alter table api_keys add foreign key (organization_id) references organizations`,
    sql`alter table batch_jobs add foreign key (organization_id) references organizations`,

    // Every attempt, also the one that goes on.
    sql`
      create view all_attempts as
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome,
        reported_at, error_code, failure_reason, call_duration_ms, provider_call_id
      from attempts
      union all
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, null, null,
        null, null, null, null, null
      from leases`,
    // Contacts as they are shown, for people and for tests: one that is leased is dialing, in its next attempt.
    sql`
      create view current_contacts as
      select c.organization_id, c.job_id, c.number, split_part(c.line, E'\\t', 1) as phone,
        split_part(c.line, E'\\t', 2) as name, split_part(c.line, E'\\t', 3)::jsonb as fields,
        case
          when l.number is not null then 'dialing'
          when a.attempt is null then 'pending'
          when a.next_attempt_at is not null then 'waiting_retry'
          else a.outcome
        end as status,
        coalesce(a.attempt, 0) + case when l.number is null then 0 else 1 end as attempts,
        a.outcome as last_outcome,
        case when l.number is null then a.next_attempt_at end as next_attempt_at
      from (
        select b.organization_id, b.job_id, b.first_number + t.place::int - 1 as number, t.line
        from contact_blocks b
        cross join lateral string_to_table(b.contacts, E'\\n') with ordinality as t (line, place)
      ) as c
      left join lateral (
        select attempt, outcome, next_attempt_at from attempts
        where organization_id = c.organization_id and job_id = c.job_id and number = c.number
        order by attempt desc limit 1
      ) as a on true
      left join leases l
        on l.organization_id = c.organization_id and l.job_id = c.job_id and l.number = c.number`,
    sql`drop function pg_temp.number_of`,
    sql`set local enable_seqscan = off`,
  ];
  for (const statement of statements) await statement.execute(db);
}

/** Writes a table of jobs' rows anew, with the organizations of the jobs that are there; keys are made afterwards. */
function rewritten(table: string, columns: Sql, kept: Sql, values = kept): Sql[] {
  const [name, old] = [sql.table(table), sql.table(`old_${table}`)];
  return [
    sql`alter table ${name} rename to ${old}`,
    sql`create table ${name} (${columns})`,
    sql`
      insert into ${name} (organization_id, ${kept})
      select j.organization_id, ${values}
      from ${old} join (select organization_id, id as job_id from batch_jobs) as j using (job_id)`,
    sql`drop table ${old}`,
  ];
}
