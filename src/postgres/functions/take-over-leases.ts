import { sql } from "kysely";
import { answerBytes, newNonce, planning } from "./planning.ts";

/*
 * Gives the live leases that an organization's calls have opened under a request id to the call that has this ticket: under
 * new nonces, so that what those calls release, report or extend is not there any more. A call with a later ticket keeps
 * what it has.
 *   most, most_bytes  how many contacts the answer may have, and how large it may be; one contact always fits
 * Answers a row for each lease, one that does not fit into the answer without a contact; and one without a number if a later
 * call has them.
 */
export const takeOverLeases = sql`
  create function take_over_leases(
    organization uuid, request text, new_ticket bigint, new_worker_id text, duration_ms bigint, most int,
    most_bytes bigint
  ) returns table (
    job_id uuid, number int, attempt int, nonce bigint, expires_ms bigint, from_phone_number_id text, max_attempts int,
    contact text
  )
  language plpgsql
  ${planning}
  as $$
  #variable_conflict use_column
  declare
    begun timestamptz(3);
    latest bigint;
  begin
    perform from organizations o where o.id = organization for no key update;
    begun := date_trunc('milliseconds', clock_timestamp());
    select max(l.ticket) into latest
    from leases l
    cross join lateral (select organization_id from batch_jobs where id = l.job_id limit 1) as b
    where l.request_id = request and l.request_id <> '' and l.expires_at > begun and b.organization_id = organization;
    if latest > new_ticket then
      return query select null::uuid, null::int, null::int, null::bigint, null::bigint, null, null::int, null;
      return;
    end if;

    return query
    with held as (
      select l.job_id, l.number, b.from_phone_number_id, b.max_attempts,
        row_number() over (order by l.job_id, l.number) as place
      from leases l
      cross join lateral (
        select organization_id, from_phone_number_id, max_attempts from batch_jobs where id = l.job_id limit 1
      ) as b
      where l.request_id = request and l.request_id <> '' and l.expires_at > begun and b.organization_id = organization
    ), taken as (
      update leases l
      set nonce = ${newNonce}, ticket = new_ticket, worker_id = new_worker_id,
        expires_at = begun + duration_ms * interval '1 millisecond'
      from held h where l.job_id = h.job_id and l.number = h.number
      returning h.*, l.attempt, l.nonce, l.expires_at
    ), read as (
      select t.*, b.contact,
        sum(octet_length(b.contact) + ${answerBytes("t.from_phone_number_id")}) over (order by t.place) as bytes
      from taken t
      cross join lateral (
        select split_part(contacts, E'\\n', t.number - first_number + 1) as contact from contact_blocks
        where job_id = t.job_id and first_number <= t.number
        order by first_number desc limit 1
      ) as b
    )
    select job_id, number, attempt, nonce, (extract(epoch from expires_at) * 1000)::bigint, from_phone_number_id,
      max_attempts, case when place <= most and (place = 1 or bytes <= most_bytes) then contact end
    from read order by place;
  end $$`;
