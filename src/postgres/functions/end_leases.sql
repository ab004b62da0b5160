-- Ends live leases of one organization with their outcomes: the attempts become history, and contacts, counts and jobs
-- follow. Leases that are not live any more are left alone. Whether a contact is called again, and when, follows from
-- what its job is set to under the lock, as domain/contacts/attempt.ts says of late reports.
--
-- Arguments
--   organization  whose jobs they are; leases of another's are not ended, nor are its jobs locked
--   only_expired  true ends only those whose time is over, and as not reported
--   job_ids       the jobs, in the order of their ids
--   jobs          for each lease: which of the jobs, from 1
--   numbers, attempts, nonces, outcomes   of each lease
--   error_codes, failure_reasons, durations_ms, provider_call_ids   what was reported; null for nothing. Of the words
--                 nothing is kept where the person was erased meanwhile
-- Answers
--   one row: the time, the places (from 1) of the leases that it did not end, those of the contacts that are to be
--   called again, and when, the jobs that were passed by, and those that have ended by this, and that have paused
--   themselves, with their new revisions and how many sets of time zones they have.
-- Locks
--   the organization's row, then the rows of the jobs, then, if anything has ended, the head of the log, all until the
--   commit. A job that somebody else has locked is passed by, since everybody of the organization would wait for it
--   here. Its leases stay as they are; those that are live last ten seconds from now at least, unless only_expired:
--   what was reported in time is not overtaken by the end of its lease while it waits.
-- Repeated
--   it changes nothing: what it has ended is not live any more, and is among the places.
-- Form
--   One call is one round trip and one commit, so that nobody computes while the organization's row is locked. The
--   locks are statements of their own: those after them see what was committed before. All else is one statement,
--   but for jobs that may pause themselves: a thousand jobs may end together.
--   It is planned once for each connection, which is most of the cost of a small batch, perhaps while the tables are
--   empty. So it is written, and set, such that every row can only be found through its key: by a join from what is
--   given, and by a lateral look-up. In a join the organization is a column of what is given, and no constant, for
--   which alone rows could be found too; and it is compared as one of a list. Of a table in which nothing was left when
--   it was last vacuumed a planner takes one row to be all there is, and would rather go through an index from its
--   beginning to its end, and through all that is given for each entry: a list has no place in the order of an index.
--   The final counts are columns, each written out, so that counting needs no loop.
create function end_leases(
  organization int, only_expired boolean, job_ids uuid[], jobs int[], numbers int[], attempts int[],
  nonces bigint[], outcomes text[], error_codes text[], failure_reasons text[], durations_ms bigint[],
  provider_call_ids text[],
  out ended_ms bigint, out missed int[], out waiting int[], out waiting_ms bigint[], out held_ids uuid[],
  out finished_ids uuid[], out finished_revisions bigint[], out finished_zone_sets int[],
  out paused_ids uuid[], out paused_revisions bigint[], out paused_zone_sets int[]
)
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  ending timestamptz(3);
  going_on boolean[];
  -- Of each job the outcomes that are tried again, as one text, and the delay after each attempt that is not the last.
  retried text[];
  delays_ms bigint[];
  found_job batch_jobs;
  -- Of each running job that may pause itself the outcomes after which it does, and how its attempts end, as bits.
  pausing text[];
  judged int[];
  ends text[];
  recent bit varying;
  most int;
  seen int;
  bad int;
  is_enough boolean;
  turn int;
begin
  perform from organizations o where o.id = organization for no key update;
  select array_agg(b.status in ('running', 'paused') and (b.end_at is null or b.end_at > clock_timestamp())
      order by t.turn),
    array_agg(array_to_string(b.retry_on, ' ') order by t.turn),
    array_agg(case when b.status = 'running' then
      array_to_string(array(select jsonb_array_elements_text(b.pause_when -> 'outcomes')), ' ') end order by t.turn),
    array_agg(array(
      select case when a < b.max_attempts then
        coalesce(b.retry_delays_ms[a], b.retry_delays_ms[cardinality(b.retry_delays_ms)], 0) end
      from generate_series(1, 10) as a
    ) order by t.turn)
  into going_on, retried, pausing, delays_ms
  from unnest(job_ids) with ordinality as t (id, turn)
  left join lateral (
    select status, end_at, max_attempts, retry_on, retry_delays_ms, pause_when from batch_jobs
    where organization_id = organization and id = t.id for no key update skip locked
  ) as b on true;
  ending := date_trunc('milliseconds', clock_timestamp());
  ended_ms := extract(epoch from ending) * 1000;
  if array_position(going_on, null) is not null then
    select array_agg(t.id) into held_ids
    from unnest(job_ids) with ordinality as t (id, turn)
    cross join lateral (
      select from batch_jobs where organization_id = organization and id = t.id limit 1
    ) as b
    where going_on[t.turn] is null;
  end if;
  if held_ids is not null and not only_expired then
    update leases l set expires_at = ending + interval '10 seconds'
    from (
      select organization as organization_id, job_ids[g.job] as job_id, g.number, g.attempt, g.nonce
      from unnest(jobs, numbers, attempts, nonces) as g (job, number, attempt, nonce)
      where job_ids[g.job] = any(held_ids)
    ) as g
    where l.organization_id = any (array[g.organization_id]) and g.job_id = l.job_id and g.number = l.number
      and g.attempt = l.attempt and g.nonce = l.nonce and l.expires_at > ending
      and l.expires_at < ending + interval '10 seconds';
  end if;

  with given as materialized (
    select g.*, organization as organization_id, job_ids[g.job] as job_id,
      case when going_on[g.job] and g.outcome = any (string_to_array(retried[g.job], ' ')) then
        ending + delays_ms[g.job][g.attempt] * interval '1 millisecond' end as next_at
    from unnest(
      jobs, numbers, attempts, nonces, outcomes, error_codes, failure_reasons, durations_ms, provider_call_ids
    ) with ordinality as g (
      job, number, attempt, nonce, outcome, error_code, failure_reason, duration_ms, provider_call_id, place
    )
    where going_on[g.job] is not null
  ), ended as (
    delete from leases l using given g
    where l.organization_id = any (array[g.organization_id]) and l.job_id = g.job_id and l.number = g.number
      and l.attempt = g.attempt and l.nonce = g.nonce
      and (not only_expired or l.expires_at <= ending)
    returning l.*, g.job, g.place, g.outcome, g.next_at, g.duration_ms,
      case when not l.is_erased then g.error_code end as error_code,
      case when not l.is_erased then g.failure_reason end as failure_reason,
      case when not l.is_erased then g.provider_call_id end as provider_call_id
  ), counts as (
    select organization_id, job_id, job, count(*)::int as ended,
      (count(*) filter (where next_at is not null))::int as waiting_retry,
      (count(*) filter (where next_at is null and outcome = 'completed'))::int as completed,
      (count(*) filter (where next_at is null and outcome = 'no_answer'))::int as no_answer,
      (count(*) filter (where next_at is null and outcome = 'busy'))::int as busy,
      (count(*) filter (where next_at is null and outcome = 'timeout'))::int as timeout,
      (count(*) filter (where next_at is null and outcome = 'voicemail'))::int as voicemail,
      (count(*) filter (where next_at is null and outcome = 'blocked'))::int as blocked,
      (count(*) filter (where next_at is null and outcome = 'invalid_number'))::int as invalid_number,
      (count(*) filter (where next_at is null and outcome = 'carrier_error'))::int as carrier_error,
      (count(*) filter (where next_at is null and outcome = 'failed'))::int as failed,
      (count(*) filter (where next_at is null and outcome = 'unknown'))::int as unknown
    from ended group by organization_id, job_id, job
  ), moved as materialized (
    -- A job ends with the last of its contacts. If its end came while calls went on, the first that is completed makes
    -- a failure of it that is none.
    select c.*, b.status = 'running' as was_running, case
        when b.failure_reason = 'no_call_completed' and c.completed > 0 then 'completed'
        when going_on[c.job] and b.status = 'running' and b.pending_contacts = 0
          and b.waiting_retry_contacts + c.waiting_retry + b.dialing_contacts - c.ended = 0
        then status_at_end(b.completed_contacts + c.completed)
      end as ends_as
    from counts c
    cross join lateral (
      select * from batch_jobs where organization_id = c.organization_id and id = c.job_id limit 1
    ) as b
  ), numbered as materialized (
    -- Of the attempts, and then of the jobs that end with them.
    select take_sequences(organization, (sum(ended) + count(ends_as))::int) as before, sum(ended) as contacts
    from moved having count(*) > 0
  ), history as (
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome,
      next_attempt_at, reported_at, error_code, failure_reason, call_duration_ms, provider_call_id, sequence)
    select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ending, outcome, next_at,
      case when not only_expired then ending end, error_code, failure_reason, duration_ms, provider_call_id,
      before + row_number() over (order by place)
    from numbered cross join ended
  ), waiting as (
    -- As ../leasing/retries.ts says of the set that the contact is in.
    insert into retries (organization_id, job_id, number, due_at, zone_set, zone_due_at)
    select organization_id, job_id, number, case when zone_set = 0 then next_at else '9999-01-01' end, zone_set,
      case when zone_set > 0 then next_at end
    from ended where next_at is not null
  ), counted as (
    update batch_jobs b
    set dialing_contacts = b.dialing_contacts - m.ended,
      ended_attempts = b.ended_attempts + m.ended,
      waiting_retry_contacts = b.waiting_retry_contacts + m.waiting_retry,
      completed_contacts = b.completed_contacts + m.completed,
      no_answer_contacts = b.no_answer_contacts + m.no_answer,
      busy_contacts = b.busy_contacts + m.busy,
      timeout_contacts = b.timeout_contacts + m.timeout,
      voicemail_contacts = b.voicemail_contacts + m.voicemail,
      blocked_contacts = b.blocked_contacts + m.blocked,
      invalid_number_contacts = b.invalid_number_contacts + m.invalid_number,
      carrier_error_contacts = b.carrier_error_contacts + m.carrier_error,
      failed_contacts = b.failed_contacts + m.failed,
      unknown_contacts = b.unknown_contacts + m.unknown,
      status = coalesce(m.ends_as, b.status),
      failure_reason = case when m.ends_as is null then b.failure_reason
        else failure_at_end(b.completed_contacts + m.completed) end,
      finished_at = coalesce(b.finished_at, case when m.ends_as is not null then ending end),
      updated_at = case when m.ends_as is null then b.updated_at else ending end,
      revision = b.revision + (m.ends_as is not null)::int
    from moved m where b.organization_id = any (array[m.organization_id]) and b.id = m.job_id
    returning b as state, m.job, m.ends_as, m.was_running
  ), told as (
    insert into events (
      organization_id, sequence, occurred_at, type, actor, request_id, batch_job_id, revision, data)
    select organization, before + contacts + row_number() over (order by job), ending, 'batch_job.' || ends_as,
      case when only_expired then 'lease_expiry' else 'worker' end, '', (state).id, (state).revision, ending_data(state)
    from numbered cross join counted where ends_as is not null
  ), finished as (
    select array_agg((state).id order by job) as ids, array_agg((state).revision order by job) as revisions,
      array_agg((state).zone_sets::int order by job) as sets
    from counted where ends_as is not null and was_running
  ), summed as (
    update organizations o set dialing = o.dialing - s.ended
    from (select count(*)::int as ended from ended) as s
    where o.id = organization and s.ended > 0
  ), last as (
    select job, string_agg((outcome = any (string_to_array(pausing[job], ' ')))::int::text, '' order by place) as bits
    from ended where pausing[job] <> '' group by job
  )
  select (select array_agg(job order by job) from last), (select array_agg(bits order by job) from last),
    (select ids from finished), (select revisions from finished), (select sets from finished), (
      select array_agg(p.place) from generate_series(1, cardinality(numbers)) as p (place)
      where p.place not in (select place from ended)
    ), array_agg(place), array_agg(extract(epoch from next_at) * 1000)
  into judged, ends, finished_ids, finished_revisions, finished_zone_sets, missed, waiting, waiting_ms
  from ended where next_at is not null;

  -- Judged anew after each attempt with which there is a whole window. Bits are numbered from 0.
  for turn in select * from unnest(judged) loop
    select * into found_job from batch_jobs where organization_id = organization and id = job_ids[turn];
    continue when found_job.status <> 'running';
    most := found_job.pause_when -> 'window';
    seen := coalesce(length(found_job.recent_outcomes), 0);
    bad := coalesce(bit_count(found_job.recent_outcomes), 0);
    recent := coalesce(found_job.recent_outcomes, '') || ends[array_position(judged, turn)]::varbit;
    is_enough := false;
    for n in seen + 1 .. length(recent) loop
      bad := bad + get_bit(recent, n - 1) - case when n > most then get_bit(recent, n - 1 - most) else 0 end;
      is_enough := n >= most and bad >= (found_job.pause_when -> 'share')::numeric * most;
      exit when is_enough;
    end loop;
    update batch_jobs
    set recent_outcomes =
        case when not is_enough then substring(recent from greatest(1, length(recent) - most + 1)) end,
      status = case when is_enough then 'paused' else status end,
      pause_reason = case when is_enough then 'pause_when' end,
      updated_at = case when is_enough then ending else updated_at end,
      revision = revision + is_enough::int
    where organization_id = organization and id = job_ids[turn];
    if is_enough then
      insert into events (
        organization_id, sequence, occurred_at, type, actor, request_id, batch_job_id, revision, data)
      values (organization, take_sequences(organization, 1) + 1, ending, 'batch_job.paused', 'breaker', '',
        job_ids[turn], found_job.revision + 1,
        json_build_object('pauseReason', 'pause_when', 'attempts', most, 'ofTheOutcomes', bad));
      paused_ids := paused_ids || job_ids[turn];
      paused_revisions := paused_revisions || (found_job.revision + 1);
      paused_zone_sets := paused_zone_sets || found_job.zone_sets::int;
    end if;
  end loop;
end $$;
