import { type Kysely, sql } from "kysely";

/*
 * Phones that an organization has nobody call, and the contacts that ended because theirs is one of them.
 *
 * Such a contact has a row in attempts, after those of its attempts, that is none: its outcome is `suppressed`. So
 * whatever asks whether a contact is pending, or what has become of it, finds that where it looks for it anyway, and a
 * version that knows nothing of suppressed phones leases it no more either. The views leave the row out.
 */

const finalCounts = [
  "completed",
  "no_answer",
  "busy",
  "timeout",
  "voicemail",
  "blocked",
  "invalid_number",
  "carrier_error",
  "failed",
  "unknown",
  "suppressed",
];

export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    // A phone is kept as in contact_phones: as the number that it is.
    sql`
      create table suppressed_phones (
        organization_id int not null,
        phone bigint not null,
        added_at timestamptz(3) not null,
        expires_at timestamptz(3) not null default 'infinity',
        reason text collate "C" not null,
        primary key (organization_id, phone)
      )`,
    sql`
      create index suppressed_phones_expiring on suppressed_phones (organization_id, expires_at)
      where expires_at < 'infinity'`,
    // Whatever adds or removes phones counts them here: it locks the organization's row as the leases do.
    sql`
      alter table organizations
        add column suppressed_phones int not null default 0 check (suppressed_phones >= 0),
        add column suppressed_phone_limit int check (suppressed_phone_limit >= 0)`,

    // Rows that are there meet the narrower conditions of before, and are not read for these.
    sql`
      alter table batch_jobs
        add column suppressed_contacts int not null default 0,
        add constraint batch_jobs_suppressed_contacts_check check (suppressed_contacts >= 0) not valid,
        drop constraint counts_add_up,
        add constraint counts_add_up check (
          total_contacts = pending_contacts + dialing_contacts + waiting_retry_contacts + ${sql.raw(
            finalCounts.map((count) => `${count}_contacts`).join(" + "),
          )}) not valid`,
    sql`
      alter table attempts
        drop constraint outcome_is_known,
        add constraint outcome_is_known check (
          outcome in (${sql.join(finalCounts.map((outcome) => sql.lit(outcome)))})) not valid`,

    // The phone in the line of a contact; null for no line.
    sql`
      create function contact_phone(line text) returns bigint
      language sql immutable parallel safe
      return nullif(substr(split_part(line, E'\\t', 1), 2), '')::bigint`,
    sql`
      create or replace view all_attempts as
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome,
        reported_at, error_code, failure_reason, call_duration_ms, provider_call_id
      from attempts where outcome <> 'suppressed'
      union all
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, null, null,
        null, null, null, null, null
      from leases`,
    sql`
      create or replace view current_contacts as
      select b.organization_id, b.job_id, c.number, c.phone collate "C" as phone, c.name collate "C" as name,
        c.fields::jsonb as fields,
        contact_status(l.number is not null, a.outcome, a.next_attempt_at) as status,
        coalesce(a.attempt - case when a.outcome = 'suppressed' then 1 else 0 end, 0)
          + case when l.number is null then 0 else 1 end as attempts,
        case when a.outcome = 'suppressed' then before.outcome else a.outcome end as last_outcome,
        case when l.number is null then a.next_attempt_at end as next_attempt_at
      from contact_blocks b
      cross join lateral contacts_of_block(b.first_number, b.contacts) as c
      left join lateral (
        select attempt, outcome, next_attempt_at from attempts
        where organization_id = b.organization_id and job_id = b.job_id and number = c.number
        order by attempt desc limit 1
      ) as a on true
      left join lateral (
        select outcome from attempts
        where a.outcome = 'suppressed' and organization_id = b.organization_id and job_id = b.job_id
          and number = c.number and attempt = a.attempt - 1
      ) as before on true
      left join leases l
        on l.organization_id = b.organization_id and l.job_id = b.job_id and l.number = c.number`,
  ];
  for (const statement of statements) await statement.execute(db);
}
