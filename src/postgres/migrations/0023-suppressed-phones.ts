import { type Kysely, sql } from "kysely";

/*
 * Phones that an organization has nobody call, and the contacts that ended because theirs is one of them.
 *
 * Such a contact has a row in attempts, after those of its attempts, that is none: its outcome is `suppressed`. So
 * whatever asks whether a contact is pending, or what has become of it, finds that where it looks for it anyway, and a
 * version that knows nothing of suppressed phones leases it no more either. The view of all attempts leaves
 * the row out.
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

    sql`
      create or replace view all_attempts as
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome,
        reported_at, error_code, failure_reason, call_duration_ms, provider_call_id
      from attempts where outcome <> 'suppressed'
      union all
      select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, null, null,
        null, null, null, null, null
      from leases`,
  ];
  for (const statement of statements) await statement.execute(db);
}
