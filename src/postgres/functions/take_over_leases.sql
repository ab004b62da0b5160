-- Gives the live leases that an organization's calls have opened under a request id to the call that has this ticket:
-- under new nonces, so that what those calls release, report or extend is not there any more. A call with a later
-- ticket keeps what it has. The last eight nonces are kept, for the case that this call's caller has gone, and one of
-- the others has not: tickets are drawn in the order in which calls come to Postgres, not in that in which they were
-- made. None of the leases ends earlier by it than its worker was told.
--
-- Arguments
--   organization      whose jobs they are
--   request           the request id; '' has no leases
--   new_ticket, new_worker_id, duration_ms   of the call that gets them
--   most, most_bytes  how many contacts the answer may have, and how large it may be; one contact always fits
-- Answers
--   a row for each lease, in the order of jobs and numbers, with the end of the hours in which it was given, or the one
--   that its job has now, whichever comes first; without a contact where it does not fit into the answer or
--   its phone was suppressed or erased meanwhile; or one row without a number if a later call has them.
-- Locks
--   the organization's row, then the leases as they are found, all until the commit.
-- Repeated
--   it takes them over again, under newer nonces; with an earlier ticket than the last it changes nothing.
-- Form
--   One call is one round trip and one commit, so that nobody computes while the organization's row is locked. The
--   lock is a statement of its own: those after it see what was committed before.
--   It is planned once for each connection, perhaps while the tables are empty. So it is written, and set, such that
--   every row can only be found through its key: the leases by their request id, and all else by a lateral look-up,
--   with a limit, where there is another index that could be tried. Their order is that of a row of columns, which no
--   index has, and the organization one of a list where they are changed (end_leases.sql tells why).
create function take_over_leases(
  organization int, request text, new_ticket bigint, new_worker_id text, duration_ms bigint, most int,
  most_bytes bigint
) returns table (
  job_id uuid, number int, attempt int, nonce bigint, expires_ms bigint, call_before_ms bigint,
  from_phone_number_id text, max_attempts int, contact text
)
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
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
  where l.organization_id = organization and l.request_id = request and l.request_id <> '' and l.expires_at > begun;
  if latest > new_ticket then
    return query
    select null::uuid, null::int, null::int, null::bigint, null::bigint, null::bigint, null, null::int, null;
    return;
  end if;

  return query
  with held as (
    select l.organization_id, l.job_id, l.number, b.from_phone_number_id, b.max_attempts, b.end_at,
      row_number() over (order by (l.job_id, l.number)) as place
    from leases l
    cross join lateral (
      select from_phone_number_id, max_attempts, end_at from batch_jobs
      where organization_id = organization and id = l.job_id limit 1
    ) as b
    where l.organization_id = organization and l.request_id = request and l.request_id <> '' and l.expires_at > begun
  ), taken as (
    update leases l
    -- 48 random bits, as many as a lease's nonce has.
    set nonce = (random() * (2::bigint ^ 48 - 1))::bigint, ticket = new_ticket, worker_id = new_worker_id,
      earlier_nonces = (l.earlier_nonces || l.nonce)[coalesce(cardinality(l.earlier_nonces), 0) - 6:],
      expires_at = greatest(l.expires_at, begun + duration_ms * interval '1 millisecond')
    from held h where l.organization_id = any (array[h.organization_id]) and l.job_id = h.job_id and l.number = h.number
    returning h.*, l.attempt, l.nonce, l.expires_at, least(l.call_before, h.end_at) as call_before
  ), read as (
    select t.*, b.contact, s.phone is not null or is_erased_line(b.contact) as is_suppressed,
      sum(contact_bytes(b.contact, t.from_phone_number_id)) over (order by t.place) as bytes
    from taken t
    cross join lateral (
      select contact_line(contacts, t.number - first_number + 1) as contact from contact_blocks
      where organization_id = t.organization_id and job_id = t.job_id and first_number <= t.number
      order by first_number desc limit 1
    ) as b
    left join lateral (
      select phone from suppressed_phones
      where suppression_key(organization_id, phone) = suppression_key(t.organization_id, contact_phone(b.contact))
        and (organization_id = t.organization_id and phone = contact_phone(b.contact)) is true and expires_at > begun
      limit 1
    ) as s on true
  )
  select job_id, number, attempt, nonce, (extract(epoch from expires_at) * 1000)::bigint,
    (extract(epoch from call_before) * 1000)::bigint, from_phone_number_id, max_attempts,
    case when place <= most and (place = 1 or bytes <= most_bytes) and not is_suppressed and contact <> '' then contact end
  from read order by place;
end $$;
