import { type Kysely, sql } from "kysely";
import { blockBytes } from "../contacts/contact-blocks.ts";

/*
 * Who a job's contacts are never changes, and is in blocks; contact-blocks.ts says how. What has become of a contact
 * is in a row of its own as soon as an attempt has ended. Until then it is pending, and has none.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table contact_blocks (
        job_id uuid not null,
        first_number int not null check (first_number >= 1),
        contacts text collate "C" not null check (contacts <> ''),
        primary key (job_id, first_number)
      )`,
    sql`
      insert into contact_blocks (job_id, first_number, contacts)
      select job_id, min(number), string_agg(line, E'\\n' order by number)
      from (
        select job_id, number, line,
          sum(octet_length(line)) over (partition by job_id order by number) / ${sql.lit(blockBytes)} as block
        from (
          select job_id, number, concat_ws(E'\\t', phone, name, fields) as line from contacts
        ) as lines
      ) as placed
      group by job_id, block`,
    sql`
      create table contact_states (
        job_id uuid not null,
        number int not null,
        status text not null,
        attempts int not null check (attempts >= 1),
        last_outcome text not null,
        next_attempt_at timestamptz(3),
        primary key (job_id, number),
        constraint status_is_known check (
          status in ('waiting_retry', 'completed', 'no_answer', 'busy', 'timeout', 'voicemail', 'blocked',
                     'invalid_number', 'carrier_error', 'failed', 'unknown')),
        constraint waiting_has_time check ((status = 'waiting_retry') = (next_attempt_at is not null))
      )`,
    sql`
      insert into contact_states (job_id, number, status, attempts, last_outcome, next_attempt_at)
      select job_id, number, status, attempts, last_outcome, next_attempt_at from contacts where status <> 'pending'`,
    sql`drop view if exists current_contacts`,
    sql`drop table contacts`,
    // A start writes an entry less.
    sql`drop index batch_jobs_running`,
    sql`alter index batch_jobs_of_organization_running rename to batch_jobs_running`,
    sql`drop function if exists open_leases`,
    sql`drop function if exists end_leases`,
    // Their like of today, and the view's, are made by what comes after.
  ];
  for (const statement of statements) await statement.execute(db);
}
