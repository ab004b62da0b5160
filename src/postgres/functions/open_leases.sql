-- Opens leases on contacts of jobs of one organization: those that are due again first, then those from the lists. Of
-- what it is offered it ends those whose phone is suppressed, or erased: they have none; they take no room.
--
-- Arguments
--   organization    whose jobs they are; a job of another gives nothing
--   job_ids         for each turn, in their order, the job whose contacts it takes; a job has one for each of its sets
--   sets            and in which set of time zones they are
--   due_counts      how many due retries to take in each, at most
--   listed_counts   how many numbers from a list each has
--   listed_numbers  those of the first, then those of the second, and so on; no number twice for a job
--   callers         for each lease that may be opened: which caller gets it, from 1
--   worker_ids, request_ids, tickets, durations_ms   of each caller; '' and 0 for a call without a request id
--   most_bytes      how large the answer of each caller may be; one contact always fits
-- Answers
--   a row for each lease, with the end of the hours in which it is given, or of its job, if there are any;
--   one without a nonce for each listed number that is open and had no room, or whose job was passed by or past its
--   end, or whose set is outside its hours (the other listed numbers are not open, or are in another set);
--   one without a number for each caller whose request id has live leases, and who gets no others;
--   one without a number and a caller for each turn in which contacts ended as suppressed: how many, in place of the
--   attempt, and if the job has ended by that its new revision, in place of the nonce.
-- Locks
--   the organization's row, then the rows of the jobs, then, if contacts ended, the head of the log, all until the
--   commit. A job that somebody else has locked is passed by, since everybody of the organization would wait for it
--   here. Where all of them are, the first one is waited for as long as a command takes, but not by a transaction that
--   has locked the head before: a command would wait for that.
-- Repeated
--   under a request id whose leases are live it opens nothing for that caller; otherwise it opens other leases, never
--   a second one on a contact.
-- Form
--   One call is one round trip and one commit, so that nobody computes while the organization's row is locked. The
--   locks are statements of their own: those after them see what was committed before. All else is one statement.
--   It is planned once for each connection, which is most of the cost of a small batch, perhaps while the tables are
--   empty. So it is written, and set, such that every row can only be found through its key: by a join from what is
--   given, and by a lateral look-up, with a limit, where there is another index that could be tried. In a join the
--   organization is a column of what is given, and no constant, for which alone rows could be found too, and one of a
--   list (end_leases.sql tells why); nor is there a
--   "not exists" that looks at two tables, since rows could be found for the columns of one of them.
--   There may be as many jobs as contacts, and what is given cannot be looked up: so each turn has its numbers one
--   after the other, and takes them by their places.
--   A pace is an instant: next_call_at of a job or an organization that has one is when its next call may begin, and
--   each lease moves it on by the time between two. No more than 150 ms in which nobody asked are made up for, so that
--   in any ten seconds there are 1.5 % more at most.
create function open_leases(
  organization int, job_ids uuid[], sets int[], due_counts int[], listed_counts int[], listed_numbers int[],
  callers int[], worker_ids text[], request_ids text[], tickets bigint[], durations_ms bigint[], most_bytes bigint
) returns table (
  turn int, number int, nonce bigint, attempt int, caller int, leased_ms bigint, call_before_ms bigint, contact text
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
  slack constant interval := '150 ms';
  most int;
  -- Of the hours beyond which no job of the organization calls.
  floor_revision int;
  pace float8;
  next_call timestamptz;
  patience text := current_setting('lock_timeout');
  locked uuid[];
  begun timestamptz(3);
  repeated text[];
begin
  select least(o.lease_limit - o.dialing, cardinality(callers)), o.hours_revision, o.calls_per_second, o.next_call_at
  into most, floor_revision, pace, next_call
  from organizations o where o.id = organization for no key update;
  select coalesce(array_agg(b.id), '{}') into locked
  from unnest(job_ids) as t (id)
  cross join lateral (
    select id from batch_jobs where organization_id = organization and id = t.id for no key update skip locked
  ) as b;
  if locked = '{}' and not exists (
    select from event_heads
    where organization_id = organization and xmin = pg_current_xact_id_if_assigned()::xid
  ) then
    begin
      perform set_config('lock_timeout', '50ms', true);
      perform from batch_jobs where organization_id = organization and id = job_ids[1] for no key update;
      locked := job_ids[:1];
      perform set_config('lock_timeout', patience, true);
    exception when lock_not_available then
      null;
    end;
  end if;
  begun := date_trunc('milliseconds', clock_timestamp());
  if pace is not null then
    next_call := greatest(coalesce(next_call, begun), begun - slack);
    most := case when next_call > begun then 0
      else least(most, 1 + floor(extract(epoch from begun - next_call) * pace)) end;
  end if;
  select coalesce(array_agg(distinct asked.id), '{}') into repeated
  from unnest(request_ids) as asked (id)
  cross join lateral (
    select from leases
    where organization_id = organization and request_id = asked.id and request_id <> '' and expires_at > begun
    limit 1
  ) as l;

  return query
  with turns as materialized (
    select t.turn, b.organization_id, b.id, t.zone_set, b.max_attempts, b.retry_on, t.due, t.listed, t.listed_before,
      b.from_phone_number_id, least(z.call_before, b.end_at) as call_before,
      b.pending_contacts + b.waiting_retry_contacts + b.dialing_contacts as open_contacts,
      status_at_end(b.completed_contacts) as ends_as,
      case
        when b.id = any(locked) and b.hours_revision = floor_revision
          and (b.zone_sets = 0 or (begun >= z.open_from and begun < z.open_until))
          and (b.end_at is null or begun < b.end_at)
        then least(
          case when b.ramp_up_ms is null then b.concurrent_call_limit else least(b.concurrent_call_limit,
            1 + floor((b.concurrent_call_limit - 1) * extract(epoch from begun - b.started_at) * 1000 / b.ramp_up_ms)
          )::int end - b.dialing_contacts,
          case
            when b.calls_per_second is null then null
            when b.next_call_at is null then 1
            when b.next_call_at > begun then 0
            else 1 + floor(extract(epoch from least(begun - b.next_call_at, slack)) * b.calls_per_second)
          end::int
        ) else 0
      end as room
    from (
      select *, sum(listed) over (order by turn) - listed as listed_before
      from unnest(job_ids, sets, due_counts, listed_counts) with ordinality as t (id, zone_set, due, listed, turn)
    ) as t
    cross join lateral (select * from batch_jobs where organization_id = organization and id = t.id limit 1) as b
    left join lateral (
      select open_from, open_until, call_before from zone_sets
      where b.zone_sets > 0 and organization_id = b.organization_id and job_id = b.id and zone_set = t.zone_set limit 1
    ) as z on true
    where b.status = 'running'
  ), retry as (
    select t.turn, t.zone_set, t.room, t.from_phone_number_id, t.call_before, t.open_contacts, t.ends_as,
      t.organization_id, t.id as job_id, r.number, a.attempt, false as is_listed, r.due_at, 0::bigint as place
    from turns t
    cross join lateral (
      (
        select number, due_at from retries
        where organization_id = t.organization_id and job_id = t.id and due_at <= begun
        order by due_at limit case when t.room > 0 and t.zone_set = 0 then t.due else 0 end
      )
      union all
      (
        select number, zone_due_at from retries
        where organization_id = t.organization_id and job_id = t.id and zone_set = t.zone_set and zone_set > 0
          and zone_due_at <= begun
        order by zone_due_at limit case when t.room > 0 and t.zone_set > 0 then t.due else 0 end
      )
    ) as r
    cross join lateral (
      select attempt, outcome, next_attempt_at from attempts
      where organization_id = t.organization_id and job_id = t.id and number = r.number
      order by attempt desc limit 1
    ) as a
    where a.next_attempt_at <= begun and a.attempt < t.max_attempts and a.outcome = any (t.retry_on)
  ), listed as (
    select t.turn, t.zone_set, t.room, t.from_phone_number_id, t.call_before, t.open_contacts, t.ends_as,
      t.organization_id, t.id as job_id, l.number, 0 as attempt, true as is_listed, null::timestamptz as due_at,
      t.listed_before + l.place as place
    from turns t
    cross join lateral unnest(listed_numbers[t.listed_before + 1 : t.listed_before + t.listed])
      with ordinality as l (number, place)
    left join lateral (
      select true as was_called from attempts
      where organization_id = t.organization_id and job_id = t.id and number = l.number limit 1
    ) as a on true
    left join lateral (
      select true as is_called from leases
      where organization_id = t.organization_id and job_id = t.id and number = l.number limit 1
    ) as c on true
    where a.was_called is null and c.is_called is null
  ), proposed as (
    -- Who they are, where anything can be leased, and whether they may be called: whoever is in another set than that
    -- of the turn is not.
    select p.*, b.contact, s.phone is not null or is_erased_line(b.contact) as is_suppressed
    from (select * from retry union all select * from listed) as p
    left join lateral (
      select contact_line(contacts, p.number - first_number + 1) as contact,
        coalesce(zone_sets[p.number - first_number + 1], 0) as zone_set
      from contact_blocks
      where p.room > 0 and most > 0 and organization_id = p.organization_id and job_id = p.job_id
        and first_number <= p.number
      order by first_number desc limit 1
    ) as b on true
    left join lateral (
      select phone from suppressed_phones
      where suppression_key(organization_id, phone) = suppression_key(p.organization_id, contact_phone(b.contact))
        and (organization_id = p.organization_id and phone = contact_phone(b.contact)) is true and expires_at > begun
      limit 1
    ) as s on true
    where b.zone_set is null or b.zone_set = p.zone_set
  ), ranked as (
    select *, row_number() over (partition by job_id, room order by is_listed, due_at, turn, place) as rank
    from proposed where not is_suppressed
  ), placed as (
    select *, callers[slot] as caller,
      rank <= room and slot <= most and request_ids[callers[slot]] <> all(repeated) as has_room
    from (select *, row_number() over (order by rank > room, turn, rank) as slot from ranked) as r
  ), fitted as (
    select *, has_room and (size is null or bytes = size or bytes <= most_bytes) as fits
    from (
      select *, sum(size) over (partition by caller order by slot) as bytes
      from (select *, case when has_room then contact_bytes(contact, from_phone_number_id) end as size from placed) as p
    ) as r
  ), opened as (
    -- 48 random bits, as many as a lease's nonce has.
    select *, attempt + 1 as next_attempt, (random() * (2::bigint ^ 48 - 1))::bigint as new_nonce
    from fitted where fits and contact <> ''
  ), written as (
    insert into leases (
      organization_id, job_id, number, attempt, nonce, worker_id, request_id, ticket, leased_at, expires_at,
      call_before, zone_set)
    select organization_id, job_id, number, next_attempt, new_nonce, worker_ids[caller], request_ids[caller],
      tickets[caller], begun, begun + durations_ms[caller] * interval '1 millisecond', call_before, zone_set
    from opened
  ), gone as (
    select organization_id, job_id, number, turn, zone_set, is_listed, open_contacts, ends_as, is_suppressed from opened
    union all
    select organization_id, job_id, number, turn, zone_set, is_listed, open_contacts, ends_as, is_suppressed
    from proposed where is_suppressed
  ), taken as (
    delete from retries r using gone g
    where not g.is_listed and r.organization_id = any (array[g.organization_id]) and r.job_id = g.job_id
      and r.number = g.number
  ), moved_in_turn as (
    select organization_id, job_id, turn, zone_set, open_contacts, ends_as, count(*)::int as gone,
      (count(*) filter (where is_suppressed))::int as suppressed,
      (count(*) filter (where is_listed))::int as from_list
    from gone group by organization_id, job_id, turn, zone_set, open_contacts, ends_as
  ), counted_in_set as (
    update zone_sets z set pending_contacts = z.pending_contacts - m.from_list
    from moved_in_turn m
    where m.zone_set > 0 and z.organization_id = any (array[m.organization_id]) and z.job_id = m.job_id
      and z.zone_set = m.zone_set
  ), moved as (
    select *, gone - suppressed as leased, case when suppressed = open_contacts then ends_as end as ended_as
    from (
      select organization_id, job_id, open_contacts, ends_as, sum(gone)::int as gone,
        sum(suppressed)::int as suppressed, sum(from_list)::int as from_list
      from moved_in_turn group by organization_id, job_id, open_contacts, ends_as
    ) as m
  ), numbered as materialized (
    -- Of the contacts, and then of the jobs that end with them.
    select take_sequences(organization, (sum(suppressed) + count(ended_as))::int) as before,
      sum(suppressed) as contacts
    from moved where suppressed > 0 having count(*) > 0
  ), suppressed as (
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome, sequence)
    select organization_id, job_id, number, attempt + 1, 0, '', begun, begun, begun, 'suppressed',
      before + row_number() over (order by turn, number)
    from numbered cross join proposed where is_suppressed
  ), counted as (
    update batch_jobs b
    set dialing_contacts = b.dialing_contacts + m.leased, pending_contacts = b.pending_contacts - m.from_list,
      waiting_retry_contacts = b.waiting_retry_contacts - (m.gone - m.from_list),
      suppressed_contacts = b.suppressed_contacts + m.suppressed,
      status = coalesce(m.ended_as, b.status),
      failure_reason = case when m.ended_as is null then b.failure_reason else failure_at_end(b.completed_contacts) end,
      finished_at = case when m.ended_as is null then b.finished_at else begun end,
      updated_at = case when m.ended_as is null then b.updated_at else begun end,
      revision = b.revision + case when m.ended_as is null then 0 else 1 end,
      next_call_at = greatest(coalesce(b.next_call_at, begun), begun - slack)
        + interval '1 second' * (m.leased / b.calls_per_second)
    from moved m where b.organization_id = any (array[m.organization_id]) and b.id = m.job_id
    returning b as job, m.ended_as is not null as has_ended
  ), told as (
    insert into events (
      organization_id, sequence, occurred_at, type, actor, request_id, batch_job_id, revision, data)
    select organization, before + contacts + row_number() over (order by (job).id), begun,
      'batch_job.' || (job).status, 'service', '', (job).id, (job).revision, ending_data(job)
    from numbered cross join counted where has_ended
  ), summed as (
    update organizations o
    set dialing = o.dialing + s.leased, next_call_at = next_call + interval '1 second' * (s.leased / pace)
    from (select count(*)::int as leased from opened) as s
    where o.id = organization and s.leased > 0
  )
  select turn::int, number, new_nonce, next_attempt, caller, (extract(epoch from begun) * 1000)::bigint,
    (extract(epoch from call_before) * 1000)::bigint, contact
  from opened
  union all
  select turn::int, number, null, null, null, null, null, null
  from fitted where is_listed and fits is not true
  union all
  select null, null, null, null, place::int, null, null, null
  from unnest(request_ids) with ordinality as asked (id, place) where id = any(repeated)
  union all
  select m.turn::int, null, case when m.place = 1 and m.suppressed_in_all = m.open_contacts then b.revision + 1 end,
    m.suppressed, null, null, null, null
  from (
    select turn, job_id, open_contacts, suppressed, sum(suppressed) over (partition by job_id) as suppressed_in_all,
      row_number() over (partition by job_id order by turn) as place
    from moved_in_turn where suppressed > 0
  ) as m
  cross join lateral (
    select revision from batch_jobs where organization_id = organization and id = m.job_id limit 1
  ) as b;
end $$;
