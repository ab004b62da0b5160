SET check_function_bodies = false;

CREATE FUNCTION public.end_leases_d0b593ab440e(organization integer, only_expired boolean, job_ids uuid[], jobs integer[], numbers integer[], attempts integer[], nonces bigint[], outcomes text[], delays_ms bigint[], error_codes text[], failure_reasons text[], durations_ms bigint[], provider_call_ids text[], OUT ended_ms bigint, OUT missed integer[], OUT going_on boolean[], OUT finished_ids uuid[], OUT finished_revisions bigint[]) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  ending timestamptz(3);
  found_job batch_jobs;
begin
  perform from organizations o where o.id = organization for no key update;
  select array_agg(b.status in ('running', 'paused') order by t.turn)
  into going_on
  from unnest(job_ids) with ordinality as t (id, turn)
  left join lateral (
    select status from batch_jobs where organization_id = organization and id = t.id for no key update
  ) as b on true;
  ending := date_trunc('milliseconds', clock_timestamp());
  ended_ms := extract(epoch from ending) * 1000;

  with given as materialized (
    select g.*, organization as organization_id, job_ids[g.job] as job_id,
      case when going_on[g.job] then ending + g.delay_ms * interval '1 millisecond' end as next_at
    from unnest(
      jobs, numbers, attempts, nonces, outcomes, delays_ms, error_codes, failure_reasons, durations_ms,
      provider_call_ids
    ) with ordinality as g (
      job, number, attempt, nonce, outcome, delay_ms, error_code, failure_reason, duration_ms, provider_call_id, place
    )
    where going_on[g.job] is not null
  ), ended as (
    delete from leases l using given g
    where l.organization_id = g.organization_id and l.job_id = g.job_id and l.number = g.number
      and l.attempt = g.attempt and l.nonce = g.nonce
      and (not only_expired or l.expires_at <= ending)
    returning l.*, g.place, g.outcome, g.next_at, g.error_code, g.failure_reason, g.duration_ms, g.provider_call_id
  ), history as (
    insert into attempts (
      organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome,
      next_attempt_at, reported_at, error_code, failure_reason, call_duration_ms, provider_call_id)
    select organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ending, outcome, next_at,
      case when not only_expired then ending end, error_code, failure_reason, duration_ms, provider_call_id
    from ended
  ), waiting as (
    insert into retries (organization_id, job_id, number, due_at)
    select organization_id, job_id, number, next_at from ended where next_at is not null
  ), moved as (
    select organization_id, job_id, count(*)::int as ended,
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
    from ended group by organization_id, job_id
  ), counted as (
    update batch_jobs b
    set dialing_contacts = b.dialing_contacts - m.ended,
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
      unknown_contacts = b.unknown_contacts + m.unknown
    from moved m where b.organization_id = m.organization_id and b.id = m.job_id
  ), summed as (
    update organizations o set dialing = o.dialing - s.ended
    from (select count(*)::int as ended from ended) as s
    where o.id = organization and s.ended > 0
  )
  select array_agg(p.place) into missed
  from generate_series(1, cardinality(numbers)) as p (place)
  where p.place not in (select place from ended);

  for turn in 1 .. cardinality(job_ids) loop
    select * into found_job from batch_jobs where organization_id = organization and id = job_ids[turn];
    if going_on[turn] and found_job.status = 'running'
      and found_job.pending_contacts + found_job.waiting_retry_contacts + found_job.dialing_contacts = 0
    then
      update batch_jobs
      set status = case when completed_contacts > 0 then 'completed' else 'failed' end,
        failure_reason = case when completed_contacts = 0 then 'no_call_completed' end,
        finished_at = ending, updated_at = ending, revision = revision + 1
      where organization_id = organization and id = job_ids[turn];
      finished_ids := finished_ids || job_ids[turn];
      finished_revisions := finished_revisions || (found_job.revision + 1);
    end if;
  end loop;
end $$;

COMMENT ON FUNCTION public.end_leases_d0b593ab440e(organization integer, only_expired boolean, job_ids uuid[], jobs integer[], numbers integer[], attempts integer[], nonces bigint[], outcomes text[], delays_ms bigint[], error_codes text[], failure_reasons text[], durations_ms bigint[], provider_call_ids text[], OUT ended_ms bigint, OUT missed integer[], OUT going_on boolean[], OUT finished_ids uuid[], OUT finished_revisions bigint[]) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.extend_leases_81a7a3425528(organization integer, job_ids uuid[], numbers integer[], attempts integer[], nonces bigint[], duration_ms bigint) RETURNS TABLE(place integer, expires_ms bigint)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  ending timestamptz(3);
begin
  perform from organizations o where o.id = organization for no key update;
  ending := date_trunc('milliseconds', clock_timestamp()) + duration_ms * interval '1 millisecond';
  return query
  with given as materialized (
    select organization as organization_id, g.*
    from unnest(job_ids, numbers, attempts, nonces) with ordinality as g (job_id, number, attempt, nonce, place)
  )
  update leases l set expires_at = ending from given g
  where l.organization_id = g.organization_id and l.job_id = g.job_id and l.number = g.number and l.attempt = g.attempt
    and l.nonce = g.nonce and l.expires_at > clock_timestamp()
  returning g.place::int, (extract(epoch from ending) * 1000)::bigint;
end $$;

COMMENT ON FUNCTION public.extend_leases_81a7a3425528(organization integer, job_ids uuid[], numbers integer[], attempts integer[], nonces bigint[], duration_ms bigint) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.lock_for_commands_1353aee5dacb(organization integer, awaited uuid, job_ids uuid[], rpcs text[], request_ids text[], OUT now_ms bigint, OUT jobs json, OUT left_alone uuid[], OUT kept json) RETURNS record
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '1s'
    AS $$
declare
  found_ids uuid[];
begin
  if awaited is not null then
    begin
      perform from batch_jobs where id = awaited and organization_id = organization for no key update;
    exception when lock_not_available then
      null;
    end;
  end if;
  select json_agg(b), array_agg(b.id)
  into jobs, found_ids
  from unnest(job_ids) with ordinality as t (id, turn)
  cross join lateral (
    select id, status, failure_reason as "failureReason", revision, timezone as "timeZone",
      requested_start_time as "requestedStartTime", (extract(epoch from scheduled_at) * 1000)::bigint as "scheduledMs",
      scheduled_job_id as "scheduledJobId", (extract(epoch from started_at) * 1000)::bigint as "startedMs",
      (extract(epoch from finished_at) * 1000)::bigint as "finishedMs", total_contacts as "total",
      pending_contacts as "pending", waiting_retry_contacts as "waitingRetry", dialing_contacts as "dialing",
      completed_contacts as "completed"
    from batch_jobs where id = t.id and organization_id = organization
    for no key update skip locked
  ) as b;
  now_ms := extract(epoch from date_trunc('milliseconds', clock_timestamp())) * 1000;

  if cardinality(job_ids) > coalesce(cardinality(found_ids), 0) then
    select array_agg(t.id)
    into left_alone
    from unnest(job_ids) as t (id)
    cross join lateral (
      select from batch_jobs where id = t.id and organization_id = organization limit 1
    ) as b
    where t.id <> all (coalesce(found_ids, '{}'));
  end if;

  select json_agg(json_build_object(
    'place', t.place, 'fingerprint', encode(r.fingerprint, 'base64'), 'answer', r.answer,
    'entryRemoved', r.entry_removed))
  into kept
  from unnest(rpcs, request_ids) with ordinality as t (rpc, request_id, place)
  cross join lateral (
    select fingerprint, answer, entry_removed, created_at from requests
    where organization_id = organization and rpc = t.rpc and request_id = t.request_id limit 1
  ) as r
  where r.created_at >= clock_timestamp() - interval '24 hours';
end $$;

COMMENT ON FUNCTION public.lock_for_commands_1353aee5dacb(organization integer, awaited uuid, job_ids uuid[], rpcs text[], request_ids text[], OUT now_ms bigint, OUT jobs json, OUT left_alone uuid[], OUT kept json) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.note_entries_removed_01abfe53f134(organization integer, rpcs text[], request_ids text[], removed boolean[]) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  with t as materialized (
    select organization as organization_id, g.*
    from unnest(rpcs, request_ids, removed) as g (rpc, request_id, removed)
  )
  update requests r set entry_removed = coalesce(r.entry_removed, false) or t.removed
  from t
  where r.organization_id = t.organization_id and r.rpc = t.rpc and r.request_id = t.request_id;
end $$;

COMMENT ON FUNCTION public.note_entries_removed_01abfe53f134(organization integer, rpcs text[], request_ids text[], removed boolean[]) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.open_leases_2c5e1f2b494d(organization integer, job_ids uuid[], due_counts integer[], listed_jobs integer[], listed_numbers integer[], callers integer[], worker_ids text[], request_ids text[], tickets bigint[], durations_ms bigint[], most_bytes bigint) RETURNS TABLE(job integer, number integer, nonce bigint, attempt integer, caller integer, leased_ms bigint, contact text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  most int;
  begun timestamptz(3);
  repeated text[];
begin
  select least(o.lease_limit - o.dialing, cardinality(callers)) into most
  from organizations o where o.id = organization for no key update;
  perform from (select id from unnest(job_ids) as t (id) order by id) as t
  cross join lateral (
    select from batch_jobs where organization_id = organization and id = t.id for no key update
  ) as b;
  begun := date_trunc('milliseconds', clock_timestamp());
  select coalesce(array_agg(distinct asked.id), '{}') into repeated
  from unnest(request_ids) as asked (id)
  cross join lateral (
    select from leases
    where organization_id = organization and request_id = asked.id and request_id <> '' and expires_at > begun
    limit 1
  ) as l;

  return query
  with turns as materialized (
    -- The bytes of a contact in gRPC's binary form, at most: its line, its job's number to call from, and 300 for all
    -- the rest, such as the marks around 50 fields.
    select t.turn, b.organization_id, b.id, t.due, b.concurrent_call_limit - b.dialing_contacts as room,
      octet_length(b.from_phone_number_id) + 300 as base
    from unnest(job_ids, due_counts) with ordinality as t (id, due, turn)
    cross join lateral (select * from batch_jobs where organization_id = organization and id = t.id limit 1) as b
    where b.status = 'running'
  ), retry as (
    select t.turn, t.room, t.base, t.organization_id, t.id as job_id, r.number, a.attempt,
      false as is_listed, r.due_at, 0::bigint as place
    from turns t
    cross join lateral (
      select number, due_at from retries
      where organization_id = t.organization_id and job_id = t.id and due_at <= begun
      order by due_at limit greatest(0, least(t.due, t.room))
    ) as r
    cross join lateral (
      select attempt, next_attempt_at from attempts
      where organization_id = t.organization_id and job_id = t.id and number = r.number
      order by attempt desc limit 1
    ) as a
    where a.next_attempt_at <= begun
  ), listed as (
    select t.turn, t.room, t.base, t.organization_id, t.id as job_id, l.number, 0 as attempt,
      true as is_listed, null::timestamptz as due_at, l.place
    from unnest(listed_jobs, listed_numbers) with ordinality as l (turn, number, place)
    join turns t on t.turn = l.turn
    left join lateral (
      select true as was_called from attempts
      where organization_id = t.organization_id and job_id = t.id and number = l.number limit 1
    ) as a on true
    left join lateral (
      select true as is_called from leases
      where organization_id = t.organization_id and job_id = t.id and number = l.number limit 1
    ) as c on true
    where a.was_called is null and c.is_called is null
  ), ranked as (
    select *, row_number() over (partition by turn order by is_listed, due_at, place) as rank
    from (select * from retry union all select * from listed) as proposed
  ), placed as (
    select *, callers[slot] as caller,
      rank <= room and slot <= most and request_ids[callers[slot]] <> all(repeated) as has_room
    from (select *, row_number() over (order by rank > room, turn, rank) as slot from ranked) as r
  ), read as (
    select p.organization_id, p.job_id, p.number, p.attempt, p.is_listed, p.turn, p.slot, p.caller, p.has_room,
      b.contact, p.base + octet_length(b.contact) as size
    from placed p
    left join lateral (
      select split_part(contacts, E'\n', p.number - first_number + 1) as contact from contact_blocks
      where p.has_room and organization_id = p.organization_id and job_id = p.job_id and first_number <= p.number
      order by first_number desc limit 1
    ) as b on true
  ), fitted as (
    select *, has_room and (size is null or bytes = size or bytes <= most_bytes) as fits
    from (select *, sum(size) over (partition by caller order by slot) as bytes from read) as r
  ), opened as (
    -- 48 random bits, as many as a lease's nonce has.
    select *, attempt + 1 as next_attempt, (random() * (2::bigint ^ 48 - 1))::bigint as new_nonce
    from fitted where fits and contact <> ''
  ), written as (
    insert into leases (
      organization_id, job_id, number, attempt, nonce, worker_id, request_id, ticket, leased_at, expires_at)
    select organization_id, job_id, number, next_attempt, new_nonce, worker_ids[caller], request_ids[caller],
      tickets[caller], begun, begun + durations_ms[caller] * interval '1 millisecond'
    from opened
  ), taken as (
    delete from retries r using opened o
    where not o.is_listed and r.organization_id = o.organization_id and r.job_id = o.job_id
      and r.number = o.number
  ), moved as (
    select organization_id, job_id, count(*)::int as leased,
      (count(*) filter (where is_listed))::int as from_list
    from opened group by organization_id, job_id
  ), counted as (
    update batch_jobs b
    set dialing_contacts = b.dialing_contacts + m.leased, pending_contacts = b.pending_contacts - m.from_list,
      waiting_retry_contacts = b.waiting_retry_contacts - (m.leased - m.from_list)
    from moved m where b.organization_id = m.organization_id and b.id = m.job_id
  ), summed as (
    update organizations o set dialing = o.dialing + s.leased
    from (select count(*)::int as leased from opened) as s
    where o.id = organization and s.leased > 0
  )
  select turn::int, number, new_nonce, next_attempt, caller, (extract(epoch from begun) * 1000)::bigint, contact
  from opened
  union all
  select turn::int, number, null, null, null, null, null
  from fitted where is_listed and fits is not true
  union all
  select null, null, null, null, place::int, null, null
  from unnest(request_ids) with ordinality as asked (id, place) where id = any(repeated);
end $$;

COMMENT ON FUNCTION public.open_leases_2c5e1f2b494d(organization integer, job_ids uuid[], due_counts integer[], listed_jobs integer[], listed_numbers integer[], callers integer[], worker_ids text[], request_ids text[], tickets bigint[], durations_ms bigint[], most_bytes bigint) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.start_due_jobs_9779eb991158(entries uuid[]) RETURNS TABLE(id uuid, organization_id integer, status text, revision bigint, total_contacts integer, start_lag_ms bigint)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  begun timestamptz := clock_timestamp();
  starting timestamptz(3) := date_trunc('milliseconds', begun);
begin
  return query
  with due as materialized (
    select job.place
    from unnest(entries) as entry (id)
    cross join lateral (
      select ctid as place from batch_jobs
      where scheduled_job_id = entry.id and status = 'scheduled' and scheduled_at <= begun
      for no key update skip locked
    ) as job
  )
  update batch_jobs b
  set status = case when total_contacts > 0 then 'running' else 'failed' end,
    failure_reason = case when total_contacts > 0 then null else 'no_contacts' end,
    started_at = case when total_contacts > 0 then starting end,
    finished_at = case when total_contacts > 0 then null else starting end,
    start_lag_ms = (date_part('epoch', begun - scheduled_at) * 1000)::bigint,
    scheduled_job_id = null, revision = revision + 1, updated_at = starting
  where ctid = any (array(select place from due))
  returning b.id, b.organization_id, b.status, b.revision, b.total_contacts, b.start_lag_ms;
end $$;

COMMENT ON FUNCTION public.start_due_jobs_9779eb991158(entries uuid[]) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.take_over_leases_af1e677a0514(organization integer, request text, new_ticket bigint, new_worker_id text, duration_ms bigint, most integer, most_bytes bigint) RETURNS TABLE(job_id uuid, number integer, attempt integer, nonce bigint, expires_ms bigint, from_phone_number_id text, max_attempts integer, contact text)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
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
    return query select null::uuid, null::int, null::int, null::bigint, null::bigint, null, null::int, null;
    return;
  end if;

  return query
  with held as (
    select l.organization_id, l.job_id, l.number, b.from_phone_number_id, b.max_attempts,
      row_number() over (order by l.job_id, l.number) as place
    from leases l
    cross join lateral (
      select from_phone_number_id, max_attempts from batch_jobs
      where organization_id = organization and id = l.job_id limit 1
    ) as b
    where l.organization_id = organization and l.request_id = request and l.request_id <> '' and l.expires_at > begun
  ), taken as (
    update leases l
    -- 48 random bits, as many as a lease's nonce has.
    set nonce = (random() * (2::bigint ^ 48 - 1))::bigint, ticket = new_ticket, worker_id = new_worker_id,
      expires_at = begun + duration_ms * interval '1 millisecond'
    from held h where l.organization_id = h.organization_id and l.job_id = h.job_id and l.number = h.number
    returning h.*, l.attempt, l.nonce, l.expires_at
  ), read as (
    -- The bytes of a contact in gRPC's binary form, at most: its line, its job's number to call from, and 300 for all
    -- the rest, such as the marks around 50 fields.
    select t.*, b.contact,
      sum(octet_length(b.contact) + octet_length(t.from_phone_number_id) + 300) over (order by t.place) as bytes
    from taken t
    cross join lateral (
      select split_part(contacts, E'\n', t.number - first_number + 1) as contact from contact_blocks
      where organization_id = t.organization_id and job_id = t.job_id and first_number <= t.number
      order by first_number desc limit 1
    ) as b
  )
  select job_id, number, attempt, nonce, (extract(epoch from expires_at) * 1000)::bigint, from_phone_number_id,
    max_attempts, case when place <= most and (place = 1 or bytes <= most_bytes) then contact end
  from read order by place;
end $$;

COMMENT ON FUNCTION public.take_over_leases_af1e677a0514(organization integer, request text, new_ticket bigint, new_worker_id text, duration_ms bigint, most integer, most_bytes bigint) IS 'Callsheet: called by versions that know 0012-owners';

CREATE FUNCTION public.write_commands_48bbf39e96b6(organization integer, now_ms bigint, job_ids uuid[], statuses text[], failure_reasons text[], revisions bigint[], timezones text[], requested_start_times text[], scheduled_ms bigint[], scheduled_job_ids uuid[], started_ms bigint[], finished_ms bigint[], deleted_ids uuid[], rpcs text[], request_ids text[], fingerprints bytea[], answers jsonb[], OUT is_kept boolean) RETURNS boolean
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    SET lock_timeout TO '250ms'
    AS $$
declare
  millisecond constant interval := '1 millisecond';
  kept int;
begin
  with t as materialized (
    select organization as organization_id, g.*
    from unnest(
      job_ids, statuses, failure_reasons, revisions, timezones, requested_start_times, scheduled_ms,
      scheduled_job_ids, started_ms, finished_ms
    ) as g (
      id, status, failure_reason, revision, timezone, requested_start_time, scheduled_ms, scheduled_job_id,
      started_ms, finished_ms
    )
  )
  update batch_jobs b set
    status = t.status, failure_reason = t.failure_reason, revision = t.revision, timezone = t.timezone,
    requested_start_time = t.requested_start_time,
    scheduled_at = timestamptz 'epoch' + t.scheduled_ms * millisecond, scheduled_job_id = t.scheduled_job_id,
    started_at = timestamptz 'epoch' + t.started_ms * millisecond,
    finished_at = timestamptz 'epoch' + t.finished_ms * millisecond,
    updated_at = timestamptz 'epoch' + now_ms * millisecond
  from t
  where b.organization_id = t.organization_id and b.id = t.id;

  with t as materialized (
    select organization as organization_id, g.id from unnest(deleted_ids) as g (id)
  ), gone as (
    delete from batch_jobs b using t
    where b.organization_id = t.organization_id and b.id = t.id
    returning b.organization_id, b.id, b.total_contacts
  )
  insert into deleted_jobs (organization_id, job_id, last_number) select organization_id, id, total_contacts from gone;

  insert into requests (organization_id, rpc, request_id, fingerprint, answer)
  select organization, t.rpc, t.request_id, t.fingerprint, t.answer
  from unnest(rpcs, request_ids, fingerprints, answers) as t (rpc, request_id, fingerprint, answer)
  on conflict (organization_id, rpc, request_id) do update set
    fingerprint = excluded.fingerprint, created_at = excluded.created_at, answer = excluded.answer, entry_removed = null
  where requests.created_at < clock_timestamp() - interval '24 hours';
  get diagnostics kept = row_count;
  is_kept := kept = cardinality(rpcs);
end $$;

COMMENT ON FUNCTION public.write_commands_48bbf39e96b6(organization integer, now_ms bigint, job_ids uuid[], statuses text[], failure_reasons text[], revisions bigint[], timezones text[], requested_start_times text[], scheduled_ms bigint[], scheduled_job_ids uuid[], started_ms bigint[], finished_ms bigint[], deleted_ids uuid[], rpcs text[], request_ids text[], fingerprints bytea[], answers jsonb[], OUT is_kept boolean) IS 'Callsheet: called by versions that know 0012-owners';

CREATE TABLE public.attempts (
    organization_id integer NOT NULL,
    job_id uuid NOT NULL,
    number integer NOT NULL,
    nonce bigint NOT NULL,
    leased_at timestamp(3) with time zone NOT NULL,
    expires_at timestamp(3) with time zone NOT NULL,
    ended_at timestamp(3) with time zone NOT NULL,
    next_attempt_at timestamp(3) with time zone,
    reported_at timestamp(3) with time zone,
    call_duration_ms bigint,
    attempt smallint NOT NULL,
    worker_id text NOT NULL,
    outcome text NOT NULL,
    error_code text,
    failure_reason text,
    provider_call_id text,
    CONSTRAINT attempts_attempt_check1 CHECK ((attempt >= 1)),
    CONSTRAINT outcome_is_known CHECK ((outcome = ANY (ARRAY['completed'::text, 'no_answer'::text, 'busy'::text, 'timeout'::text, 'voicemail'::text, 'blocked'::text, 'invalid_number'::text, 'carrier_error'::text, 'failed'::text, 'unknown'::text])))
);

CREATE TABLE public.leases (
    organization_id integer NOT NULL,
    job_id uuid NOT NULL,
    number integer NOT NULL,
    attempt integer NOT NULL,
    nonce bigint NOT NULL,
    leased_at timestamp(3) with time zone NOT NULL,
    expires_at timestamp(3) with time zone NOT NULL,
    ticket bigint DEFAULT 0 NOT NULL,
    worker_id text NOT NULL,
    request_id text NOT NULL,
    CONSTRAINT leases_attempt_check1 CHECK ((attempt >= 1))
);

CREATE VIEW public.all_attempts AS
 SELECT attempts.organization_id,
    attempts.job_id,
    attempts.number,
    attempts.attempt,
    attempts.nonce,
    attempts.worker_id,
    attempts.leased_at,
    attempts.expires_at,
    attempts.ended_at,
    attempts.outcome,
    attempts.reported_at,
    attempts.error_code,
    attempts.failure_reason,
    attempts.call_duration_ms,
    attempts.provider_call_id
   FROM public.attempts
UNION ALL
 SELECT leases.organization_id,
    leases.job_id,
    leases.number,
    leases.attempt,
    leases.nonce,
    leases.worker_id,
    leases.leased_at,
    leases.expires_at,
    NULL::timestamp with time zone AS ended_at,
    NULL::text AS outcome,
    NULL::timestamp with time zone AS reported_at,
    NULL::text AS error_code,
    NULL::text AS failure_reason,
    NULL::bigint AS call_duration_ms,
    NULL::text AS provider_call_id
   FROM public.leases;

CREATE TABLE public.api_keys (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id integer NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    expires_at timestamp(3) with time zone,
    revoked_at timestamp(3) with time zone,
    CONSTRAINT api_keys_hash_check CHECK ((length(hash) = 32)),
    CONSTRAINT api_keys_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'operator'::text, 'viewer'::text, 'worker'::text])))
);

CREATE TABLE public.batch_jobs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    organization_id integer NOT NULL,
    name text NOT NULL,
    description text NOT NULL,
    from_phone_number_id text NOT NULL,
    status text NOT NULL,
    failure_reason text,
    revision bigint DEFAULT 1 NOT NULL,
    timezone text NOT NULL,
    requested_start_time text,
    scheduled_at timestamp(3) with time zone,
    scheduled_job_id uuid,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    updated_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    started_at timestamp(3) with time zone,
    finished_at timestamp(3) with time zone,
    start_lag_ms bigint,
    concurrent_call_limit integer NOT NULL,
    max_attempts integer NOT NULL,
    retry_on text[] NOT NULL,
    retry_delays_ms bigint[] NOT NULL,
    total_contacts integer DEFAULT 0 NOT NULL,
    pending_contacts integer DEFAULT 0 NOT NULL,
    dialing_contacts integer DEFAULT 0 NOT NULL,
    waiting_retry_contacts integer DEFAULT 0 NOT NULL,
    completed_contacts integer DEFAULT 0 NOT NULL,
    no_answer_contacts integer DEFAULT 0 NOT NULL,
    busy_contacts integer DEFAULT 0 NOT NULL,
    timeout_contacts integer DEFAULT 0 NOT NULL,
    voicemail_contacts integer DEFAULT 0 NOT NULL,
    blocked_contacts integer DEFAULT 0 NOT NULL,
    invalid_number_contacts integer DEFAULT 0 NOT NULL,
    carrier_error_contacts integer DEFAULT 0 NOT NULL,
    failed_contacts integer DEFAULT 0 NOT NULL,
    unknown_contacts integer DEFAULT 0 NOT NULL,
    has_all_phones boolean DEFAULT true NOT NULL,
    phones_up_to integer DEFAULT 0 NOT NULL,
    CONSTRAINT batch_jobs_blocked_contacts_check CHECK ((blocked_contacts >= 0)),
    CONSTRAINT batch_jobs_busy_contacts_check CHECK ((busy_contacts >= 0)),
    CONSTRAINT batch_jobs_carrier_error_contacts_check CHECK ((carrier_error_contacts >= 0)),
    CONSTRAINT batch_jobs_completed_contacts_check CHECK ((completed_contacts >= 0)),
    CONSTRAINT batch_jobs_concurrent_call_limit_check CHECK (((concurrent_call_limit >= 1) AND (concurrent_call_limit <= 1000))),
    CONSTRAINT batch_jobs_dialing_contacts_check CHECK ((dialing_contacts >= 0)),
    CONSTRAINT batch_jobs_failed_contacts_check CHECK ((failed_contacts >= 0)),
    CONSTRAINT batch_jobs_invalid_number_contacts_check CHECK ((invalid_number_contacts >= 0)),
    CONSTRAINT batch_jobs_max_attempts_check CHECK (((max_attempts >= 1) AND (max_attempts <= 10))),
    CONSTRAINT batch_jobs_no_answer_contacts_check CHECK ((no_answer_contacts >= 0)),
    CONSTRAINT batch_jobs_pending_contacts_check CHECK ((pending_contacts >= 0)),
    CONSTRAINT batch_jobs_timeout_contacts_check CHECK ((timeout_contacts >= 0)),
    CONSTRAINT batch_jobs_unknown_contacts_check CHECK ((unknown_contacts >= 0)),
    CONSTRAINT batch_jobs_voicemail_contacts_check CHECK ((voicemail_contacts >= 0)),
    CONSTRAINT batch_jobs_waiting_retry_contacts_check CHECK ((waiting_retry_contacts >= 0)),
    CONSTRAINT counts_add_up CHECK ((total_contacts = ((((((((((((pending_contacts + dialing_contacts) + waiting_retry_contacts) + completed_contacts) + no_answer_contacts) + busy_contacts) + timeout_contacts) + voicemail_contacts) + blocked_contacts) + invalid_number_contacts) + carrier_error_contacts) + failed_contacts) + unknown_contacts))),
    CONSTRAINT dialing_needs_start CHECK (((dialing_contacts = 0) OR (started_at IS NOT NULL))),
    CONSTRAINT failed_has_reason CHECK (((status = 'failed'::text) = (failure_reason IS NOT NULL))),
    CONSTRAINT final_has_time CHECK (((status = ANY (ARRAY['completed'::text, 'failed'::text, 'cancelled'::text])) = (finished_at IS NOT NULL))),
    CONSTRAINT lag_needs_start CHECK (((start_lag_ms IS NULL) OR ((start_lag_ms >= 0) AND (scheduled_at IS NOT NULL)))),
    CONSTRAINT scheduled_has_entry CHECK ((((status = 'scheduled'::text) = (scheduled_job_id IS NOT NULL)) AND ((scheduled_job_id IS NULL) OR (scheduled_at IS NOT NULL)))),
    CONSTRAINT started_has_time CHECK (
CASE
    WHEN (status = ANY (ARRAY['pending'::text, 'scheduled'::text])) THEN (started_at IS NULL)
    WHEN (status = ANY (ARRAY['running'::text, 'paused'::text, 'completed'::text])) THEN (started_at IS NOT NULL)
    ELSE true
END),
    CONSTRAINT status_is_known CHECK ((status = ANY (ARRAY['pending'::text, 'scheduled'::text, 'running'::text, 'paused'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.contact_blocks (
    organization_id integer NOT NULL,
    job_id uuid NOT NULL,
    first_number integer NOT NULL,
    contacts text NOT NULL COLLATE pg_catalog."C",
    CONSTRAINT contact_blocks_contacts_check1 CHECK ((contacts <> ''::text)),
    CONSTRAINT contact_blocks_first_number_check1 CHECK ((first_number >= 1))
);

CREATE TABLE public.contact_phones (
    organization_id integer NOT NULL,
    job_id uuid NOT NULL,
    phone bigint NOT NULL
);

CREATE VIEW public.current_contacts AS
 SELECT c.organization_id,
    c.job_id,
    c.number,
    split_part(c.line, '	'::text, 1) AS phone,
    split_part(c.line, '	'::text, 2) AS name,
    (split_part(c.line, '	'::text, 3))::jsonb AS fields,
        CASE
            WHEN (l.number IS NOT NULL) THEN 'dialing'::text
            WHEN (a.attempt IS NULL) THEN 'pending'::text
            WHEN (a.next_attempt_at IS NOT NULL) THEN 'waiting_retry'::text
            ELSE a.outcome
        END AS status,
    (COALESCE((a.attempt)::integer, 0) +
        CASE
            WHEN (l.number IS NULL) THEN 0
            ELSE 1
        END) AS attempts,
    a.outcome AS last_outcome,
        CASE
            WHEN (l.number IS NULL) THEN a.next_attempt_at
            ELSE NULL::timestamp with time zone
        END AS next_attempt_at
   FROM ((( SELECT b.organization_id,
            b.job_id,
            ((b.first_number + (t.place)::integer) - 1) AS number,
            t.line
           FROM (public.contact_blocks b
             CROSS JOIN LATERAL string_to_table(b.contacts, '
'::text) WITH ORDINALITY t(line, place))) c
     LEFT JOIN LATERAL ( SELECT attempts.attempt,
            attempts.outcome,
            attempts.next_attempt_at
           FROM public.attempts
          WHERE ((attempts.organization_id = c.organization_id) AND (attempts.job_id = c.job_id) AND (attempts.number = c.number))
          ORDER BY attempts.attempt DESC
         LIMIT 1) a ON (true))
     LEFT JOIN public.leases l ON (((l.organization_id = c.organization_id) AND (l.job_id = c.job_id) AND (l.number = c.number))));

CREATE TABLE public.deleted_jobs (
    organization_id integer NOT NULL,
    job_id uuid NOT NULL,
    last_number integer NOT NULL
);

CREATE TABLE public.installation (
    redis_prefix text NOT NULL,
    is_only boolean DEFAULT true NOT NULL,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    CONSTRAINT installation_is_only_check CHECK (is_only)
);

CREATE SEQUENCE public.lease_tickets
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.organizations (
    name text NOT NULL,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL,
    lease_limit integer DEFAULT 100 NOT NULL,
    dialing integer DEFAULT 0 NOT NULL,
    id integer NOT NULL,
    CONSTRAINT organizations_dialing_check CHECK ((dialing >= 0)),
    CONSTRAINT organizations_lease_limit_check CHECK ((lease_limit >= 1)),
    CONSTRAINT organizations_name_check CHECK ((name <> ''::text))
);

ALTER TABLE public.organizations ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.organizations_number_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.requests (
    organization_id integer NOT NULL,
    rpc text NOT NULL,
    request_id text NOT NULL,
    fingerprint bytea NOT NULL,
    answer jsonb,
    entry_removed boolean,
    created_at timestamp(3) with time zone DEFAULT date_trunc('milliseconds'::text, clock_timestamp()) NOT NULL
);

CREATE TABLE public.retries (
    organization_id integer NOT NULL,
    job_id uuid NOT NULL,
    number integer NOT NULL,
    due_at timestamp(3) with time zone NOT NULL
);

CREATE TABLE public.schema_migrations (
    name character varying(255) NOT NULL,
    "timestamp" character varying(255) NOT NULL
);

CREATE TABLE public.schema_migrations_lock (
    id character varying(255) NOT NULL,
    is_locked integer DEFAULT 0 NOT NULL
);

INSERT INTO public.api_keys VALUES ('1e2e635b-727b-448c-b12f-6937160d9b7d', 1, 'bootstrap', 'admin', '\x04adda6c59c0e4b33d20e41a098411c2dab234fd8c52e4c255fcb96058c560ca', '2026-11-26 20:35:52.65+00', NULL, NULL);

INSERT INTO public.attempts VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 1, 235776777892751, '2026-11-26 20:35:54.065+00', '2026-11-26 20:37:54.065+00', '2026-11-26 20:35:54.113+00', NULL, '2026-11-26 20:35:54.113+00', NULL, 1, 'worker', 'completed', NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 2, 32230442322279, '2026-11-26 20:35:54.065+00', '2026-11-26 20:37:54.065+00', '2026-11-26 20:35:54.113+00', '2026-11-26 20:40:54.113+00', '2026-11-26 20:35:54.113+00', NULL, 1, 'worker', 'busy', NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 3, 89923950266077, '2026-11-26 20:35:54.065+00', '2026-11-26 20:37:54.065+00', '2026-11-26 20:35:54.113+00', NULL, '2026-11-26 20:35:54.113+00', NULL, 1, 'worker', 'voicemail', NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, '37558e2a-99a2-40bf-8d90-cfb2b48feb87', 1, 209753257532970, '2026-11-26 20:35:54.491+00', '2026-11-26 20:37:54.491+00', '2026-11-26 20:35:54.522+00', NULL, '2026-11-26 20:35:54.522+00', NULL, 1, 'worker', 'completed', NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, '37558e2a-99a2-40bf-8d90-cfb2b48feb87', 2, 3390082216627, '2026-11-26 20:35:54.491+00', '2026-11-26 20:37:54.491+00', '2026-11-26 20:35:54.522+00', NULL, '2026-11-26 20:35:54.522+00', NULL, 1, 'worker', 'completed', NULL, NULL, NULL);
INSERT INTO public.attempts VALUES (1, 'bdcfe885-ff04-4d9f-881a-0a3fc684bc70', 1, 261078483400456, '2026-11-26 20:35:54.591+00', '2026-11-26 20:37:54.591+00', '2026-11-26 20:35:54.603+00', NULL, '2026-11-26 20:35:54.603+00', NULL, 1, 'worker', 'invalid_number', NULL, NULL, NULL);

INSERT INTO public.batch_jobs VALUES ('8e2e3a03-286c-4a3d-a309-ef25e89d9935', 1, 'pending', '', 'pn_1', 'pending', NULL, 1, 'UTC', NULL, NULL, NULL, '2026-11-26 20:35:53.814+00', '2026-11-26 20:35:53.814+00', NULL, NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('c7ee862c-c49d-4a68-be7d-c9c48219f229', 1, 'scheduled', '', 'pn_1', 'scheduled', NULL, 1, 'UTC', '2199-01-01T10:00:00', '2199-01-01 10:00:00+00', '09432cba-86dc-498b-991f-a354bd1ec161', '2026-11-26 20:35:53.856+00', '2026-11-26 20:35:53.856+00', NULL, NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('79a577bb-329b-4491-9461-0d634bb65fec', 1, 'running', '', 'pn_1', 'running', NULL, 2, 'UTC', NULL, NULL, NULL, '2026-11-26 20:35:53.922+00', '2026-11-26 20:35:53.969+00', '2026-11-26 20:35:53.969+00', NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 10, 5, 2, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('04b3effc-5963-4b12-9ac6-ce20fde9b751', 1, 'paused', '', 'pn_1', 'paused', NULL, 3, 'UTC', NULL, NULL, NULL, '2026-11-26 20:35:54.319+00', '2026-11-26 20:35:54.41+00', '2026-11-26 20:35:54.374+00', NULL, NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('37558e2a-99a2-40bf-8d90-cfb2b48feb87', 1, 'completed', '', 'pn_1', 'completed', NULL, 3, 'UTC', NULL, NULL, NULL, '2026-11-26 20:35:54.438+00', '2026-11-26 20:35:54.522+00', '2026-11-26 20:35:54.461+00', '2026-11-26 20:35:54.522+00', NULL, 5, 3, '{busy}', '{300000,1800000}', 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('bdcfe885-ff04-4d9f-881a-0a3fc684bc70', 1, 'failed', '', 'pn_1', 'failed', 'no_call_completed', 3, 'UTC', NULL, NULL, NULL, '2026-11-26 20:35:54.537+00', '2026-11-26 20:35:54.603+00', '2026-11-26 20:35:54.561+00', '2026-11-26 20:35:54.603+00', NULL, 5, 3, '{busy}', '{300000,1800000}', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('8c1ae7be-1370-49dc-9476-4ce9226e7b6f', 1, 'cancelled', '', 'pn_1', 'cancelled', NULL, 3, 'UTC', NULL, NULL, NULL, '2026-11-26 20:35:54.613+00', '2026-11-26 20:35:54.66+00', '2026-11-26 20:35:54.636+00', '2026-11-26 20:35:54.66+00', NULL, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, 0);
INSERT INTO public.batch_jobs VALUES ('4d1af091-1cb8-40bb-bca9-a03022213649', 1, 'due', '', 'pn_1', 'running', NULL, 2, 'UTC', '2026-11-26T20:35:55.024Z', '2026-11-26 20:35:55.024+00', NULL, '2026-11-26 20:35:54.734+00', '2026-11-26 20:35:55.026+00', '2026-11-26 20:35:55.026+00', NULL, 3, 5, 3, '{busy}', '{300000,1800000}', 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, true, 0);

INSERT INTO public.contact_blocks VALUES (1, '8e2e3a03-286c-4a3d-a309-ef25e89d9935', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}');
INSERT INTO public.contact_blocks VALUES (1, 'c7ee862c-c49d-4a68-be7d-c9c48219f229', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}');
INSERT INTO public.contact_blocks VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}
+14155551003		{}
+14155551004		{}
+14155551005		{}
+14155551006		{}
+14155551007		{}
+14155551008		{}
+14155551009		{}');
INSERT INTO public.contact_blocks VALUES (1, '04b3effc-5963-4b12-9ac6-ce20fde9b751', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}');
INSERT INTO public.contact_blocks VALUES (1, '37558e2a-99a2-40bf-8d90-cfb2b48feb87', 1, '+14155551000		{}
+14155551001		{}');
INSERT INTO public.contact_blocks VALUES (1, 'bdcfe885-ff04-4d9f-881a-0a3fc684bc70', 1, '+14155551000		{}');
INSERT INTO public.contact_blocks VALUES (1, '8c1ae7be-1370-49dc-9476-4ce9226e7b6f', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}');
INSERT INTO public.contact_blocks VALUES (1, 'bc1cc84d-1dd4-4f0b-a39a-9035d4f32a35', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}');
INSERT INTO public.contact_blocks VALUES (1, '4d1af091-1cb8-40bb-bca9-a03022213649', 1, '+14155551000		{}
+14155551001		{}
+14155551002		{}');

INSERT INTO public.contact_phones VALUES (1, '8e2e3a03-286c-4a3d-a309-ef25e89d9935', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '8e2e3a03-286c-4a3d-a309-ef25e89d9935', 14155551001);
INSERT INTO public.contact_phones VALUES (1, '8e2e3a03-286c-4a3d-a309-ef25e89d9935', 14155551002);
INSERT INTO public.contact_phones VALUES (1, 'c7ee862c-c49d-4a68-be7d-c9c48219f229', 14155551000);
INSERT INTO public.contact_phones VALUES (1, 'c7ee862c-c49d-4a68-be7d-c9c48219f229', 14155551001);
INSERT INTO public.contact_phones VALUES (1, 'c7ee862c-c49d-4a68-be7d-c9c48219f229', 14155551002);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551001);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551002);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551003);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551004);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551005);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551006);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551007);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551008);
INSERT INTO public.contact_phones VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 14155551009);
INSERT INTO public.contact_phones VALUES (1, '04b3effc-5963-4b12-9ac6-ce20fde9b751', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '04b3effc-5963-4b12-9ac6-ce20fde9b751', 14155551001);
INSERT INTO public.contact_phones VALUES (1, '04b3effc-5963-4b12-9ac6-ce20fde9b751', 14155551002);
INSERT INTO public.contact_phones VALUES (1, '37558e2a-99a2-40bf-8d90-cfb2b48feb87', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '37558e2a-99a2-40bf-8d90-cfb2b48feb87', 14155551001);
INSERT INTO public.contact_phones VALUES (1, 'bdcfe885-ff04-4d9f-881a-0a3fc684bc70', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '8c1ae7be-1370-49dc-9476-4ce9226e7b6f', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '8c1ae7be-1370-49dc-9476-4ce9226e7b6f', 14155551001);
INSERT INTO public.contact_phones VALUES (1, '8c1ae7be-1370-49dc-9476-4ce9226e7b6f', 14155551002);
INSERT INTO public.contact_phones VALUES (1, 'bc1cc84d-1dd4-4f0b-a39a-9035d4f32a35', 14155551000);
INSERT INTO public.contact_phones VALUES (1, 'bc1cc84d-1dd4-4f0b-a39a-9035d4f32a35', 14155551001);
INSERT INTO public.contact_phones VALUES (1, 'bc1cc84d-1dd4-4f0b-a39a-9035d4f32a35', 14155551002);
INSERT INTO public.contact_phones VALUES (1, '4d1af091-1cb8-40bb-bca9-a03022213649', 14155551000);
INSERT INTO public.contact_phones VALUES (1, '4d1af091-1cb8-40bb-bca9-a03022213649', 14155551001);
INSERT INTO public.contact_phones VALUES (1, '4d1af091-1cb8-40bb-bca9-a03022213649', 14155551002);

INSERT INTO public.deleted_jobs VALUES (1, 'bc1cc84d-1dd4-4f0b-a39a-9035d4f32a35', 3);

INSERT INTO public.installation VALUES ('release', true, '39d9f949-21ef-4a5e-abac-921b82d4d45d');

INSERT INTO public.leases VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 4, 1, 261386325468384, '2026-11-26 20:35:54.269+00', '2026-11-26 20:37:54.269+00', 0, 'worker', '');
INSERT INTO public.leases VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 5, 1, 97362467848943, '2026-11-26 20:35:54.269+00', '2026-11-26 20:37:54.269+00', 0, 'worker', '');

INSERT INTO public.organizations OVERRIDING SYSTEM VALUE VALUES ('default', '2026-11-26 20:35:52.646+00', 100, 2, 1);

INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'cancelled', '\x68ce59c6ebd79d7a3427696a48698d19f01425d107800a2b2adc263db62facce', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "8c1ae7be-1370-49dc-9476-4ce9226e7b6f", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-26 20:35:54.612+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'pending', '\x281746e10de30509035d462dd97fa92668ee41a5f08d9153df95b4c7d1e1e4b7', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "8e2e3a03-286c-4a3d-a309-ef25e89d9935", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-26 20:35:53.812+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'scheduled', '\xe08bcd024686e2e4ca301cc7184119edcf945dae97985b63650c6780e3075f51', '{"dueMs": 7226618400000, "status": "scheduled", "rejected": [], "batchJobId": "c7ee862c-c49d-4a68-be7d-c9c48219f229", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": "09432cba-86dc-498b-991f-a354bd1ec161"}', false, '2026-11-26 20:35:53.849+00');
INSERT INTO public.requests VALUES (1, 'StartBatchJob', 'start cancelled', '\xfd9c422b07745292de09b331bedc392e80e15e293e7bad66507198e93c4e1840', '{"job": {"id": "8c1ae7be-1370-49dc-9476-4ce9226e7b6f", "organizationId": 1}, "revision": 2, "startedAtMs": 1795725354636, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 3}', false, '2026-11-26 20:35:54.638+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'running', '\xe97c556a9cdc5bd22485cdac2b6d736b504baa947ee698cdf92aed01062eafcc', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "79a577bb-329b-4491-9461-0d634bb65fec", "rejectedCount": 0, "totalContacts": 10, "scheduledJobId": null}', false, '2026-11-26 20:35:53.915+00');
INSERT INTO public.requests VALUES (1, 'StartBatchJob', 'start running', '\x45c60e8ada3c792dc302533a67c4d0b93c0772e3618173629ea2461e7359d89f', '{"job": {"id": "79a577bb-329b-4491-9461-0d634bb65fec", "organizationId": 1}, "revision": 2, "startedAtMs": 1795725353969, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 10}', false, '2026-11-26 20:35:53.983+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'paused', '\xea01cc5f0a67a347a3f781f6137491b5b186a1e775e97c83b9c7715e36fc5e1e', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "04b3effc-5963-4b12-9ac6-ce20fde9b751", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-26 20:35:54.317+00');
INSERT INTO public.requests VALUES (1, 'StartBatchJob', 'start paused', '\xa53634206c83c6dd7fc0a5d37401740ad51ce3e0335679203afc9a13f600555b', '{"job": {"id": "04b3effc-5963-4b12-9ac6-ce20fde9b751", "organizationId": 1}, "revision": 2, "startedAtMs": 1795725354374, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 3}', false, '2026-11-26 20:35:54.384+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'completed', '\xeb64e94c7d0982bbc40951a8e9d18aa9d7e3aaf34744f627bb11707660f5c9ff', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "37558e2a-99a2-40bf-8d90-cfb2b48feb87", "rejectedCount": 0, "totalContacts": 2, "scheduledJobId": null}', false, '2026-11-26 20:35:54.432+00');
INSERT INTO public.requests VALUES (1, 'StartBatchJob', 'start completed', '\x71d7e209045cc55ae0f3389f87d1f74c97ef77771d8dd3709784abaf5c4536e7', '{"job": {"id": "37558e2a-99a2-40bf-8d90-cfb2b48feb87", "organizationId": 1}, "revision": 2, "startedAtMs": 1795725354461, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 2}', false, '2026-11-26 20:35:54.462+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'deleted', '\x38e6b41f36e0c7bbbff16c65411eed7567f7a6117cd67586c3cdd5d6c02b8938', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "bc1cc84d-1dd4-4f0b-a39a-9035d4f32a35", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": null}', false, '2026-11-26 20:35:54.684+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'failed', '\x174c2bcf0894c64eec6f014059387a788f32de7a6b858cfc77e96647dff1ceea', '{"dueMs": null, "status": "pending", "rejected": [], "batchJobId": "bdcfe885-ff04-4d9f-881a-0a3fc684bc70", "rejectedCount": 0, "totalContacts": 1, "scheduledJobId": null}', false, '2026-11-26 20:35:54.534+00');
INSERT INTO public.requests VALUES (1, 'StartBatchJob', 'start failed', '\x4d7b05d521fa8c7127873e149652ff9a0163a3b3e78d62639da69c3c7b1b5872', '{"job": {"id": "bdcfe885-ff04-4d9f-881a-0a3fc684bc70", "organizationId": 1}, "revision": 2, "startedAtMs": 1795725354561, "statusBefore": "pending", "scheduledJobId": null, "contactsEnqueued": 1}', false, '2026-11-26 20:35:54.562+00');
INSERT INTO public.requests VALUES (1, 'CreateBatchJob', 'due', '\x77e84402004af8073d370f4852b68e4c92f89645cdc6bb9439388635eb9e74ac', '{"dueMs": 1795725355024, "status": "scheduled", "rejected": [], "batchJobId": "4d1af091-1cb8-40bb-bca9-a03022213649", "rejectedCount": 0, "totalContacts": 3, "scheduledJobId": "d862f08d-7541-4688-9e4d-219aa4d7d674"}', false, '2026-11-26 20:35:54.731+00');

INSERT INTO public.retries VALUES (1, '79a577bb-329b-4491-9461-0d634bb65fec', 2, '2026-11-26 20:40:54.113+00');

INSERT INTO public.schema_migrations VALUES ('0001-batch-jobs', '2026-11-26T20:35:51.703Z');
INSERT INTO public.schema_migrations VALUES ('0002-leases', '2026-11-26T20:35:51.764Z');
INSERT INTO public.schema_migrations VALUES ('0003-live-leases', '2026-11-26T20:35:51.824Z');
INSERT INTO public.schema_migrations VALUES ('0004-installation', '2026-11-26T20:35:51.848Z');
INSERT INTO public.schema_migrations VALUES ('0005-import', '2026-11-26T20:35:51.888Z');
INSERT INTO public.schema_migrations VALUES ('0006-late-phones', '2026-11-26T20:35:51.890Z');
INSERT INTO public.schema_migrations VALUES ('0007-contact-blocks', '2026-11-26T20:35:52.034Z');
INSERT INTO public.schema_migrations VALUES ('0008-last-attempts', '2026-11-26T20:35:52.047Z');
INSERT INTO public.schema_migrations VALUES ('0009-tickets', '2026-11-26T20:35:52.061Z');
INSERT INTO public.schema_migrations VALUES ('0010-entered-phones', '2026-11-26T20:35:52.062Z');
INSERT INTO public.schema_migrations VALUES ('0011-installation-id', '2026-11-26T20:35:52.087Z');
INSERT INTO public.schema_migrations VALUES ('0012-owners', '2026-11-26T20:35:52.341Z');

INSERT INTO public.schema_migrations_lock VALUES ('migration_lock', 0);

SELECT pg_catalog.setval('public.lease_tickets', 1, false);

SELECT pg_catalog.setval('public.organizations_number_seq', 1, true);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (organization_id, job_id, number, attempt);

ALTER TABLE ONLY public.batch_jobs
    ADD CONSTRAINT batch_jobs_pkey PRIMARY KEY (organization_id, id);

ALTER TABLE ONLY public.contact_blocks
    ADD CONSTRAINT contact_blocks_pkey PRIMARY KEY (organization_id, job_id, first_number);

ALTER TABLE ONLY public.contact_phones
    ADD CONSTRAINT contact_phones_pkey PRIMARY KEY (organization_id, job_id, phone);

ALTER TABLE ONLY public.deleted_jobs
    ADD CONSTRAINT deleted_jobs_pkey PRIMARY KEY (organization_id, job_id);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (is_only);

ALTER TABLE ONLY public.leases
    ADD CONSTRAINT leases_pkey PRIMARY KEY (organization_id, job_id, number);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_name_key UNIQUE (name);

ALTER TABLE ONLY public.organizations
    ADD CONSTRAINT organizations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (organization_id, rpc, request_id);

ALTER TABLE ONLY public.retries
    ADD CONSTRAINT retries_pkey PRIMARY KEY (organization_id, job_id, number);

ALTER TABLE ONLY public.schema_migrations_lock
    ADD CONSTRAINT schema_migrations_lock_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

CREATE INDEX batch_jobs_due ON public.batch_jobs USING btree (scheduled_at, id) WHERE (status = 'scheduled'::text);

CREATE INDEX batch_jobs_finished ON public.batch_jobs USING btree (organization_id, finished_at) WHERE (finished_at IS NOT NULL);

CREATE INDEX batch_jobs_newest ON public.batch_jobs USING btree (organization_id, created_at DESC, id DESC);

CREATE INDEX batch_jobs_running ON public.batch_jobs USING btree (organization_id, id) WHERE (status = 'running'::text);

CREATE UNIQUE INDEX batch_jobs_scheduled_job_id ON public.batch_jobs USING btree (scheduled_job_id) WHERE (status = 'scheduled'::text);

CREATE INDEX leases_by_request ON public.leases USING btree (organization_id, request_id) WHERE (request_id <> ''::text);

CREATE INDEX leases_expires_at ON public.leases USING btree (expires_at);

CREATE INDEX requests_created_at ON public.requests USING btree (organization_id, created_at);

CREATE INDEX retries_due ON public.retries USING btree (organization_id, job_id, due_at);

ALTER TABLE ONLY public.api_keys
    ADD CONSTRAINT api_keys_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);

ALTER TABLE ONLY public.batch_jobs
    ADD CONSTRAINT batch_jobs_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES public.organizations(id);
