-- Writes what commands that share a transaction have made of jobs of one organization, keeps their answers, and tells
-- of them in the event log.
--
-- Arguments
--   organization   whose jobs and requests they are
--   now_ms         the time of all that is written
--   job_ids        the jobs that were changed, which the transaction has locked
--   statuses, failure_reasons, revisions, timezones, requested_start_times, scheduled_ms, scheduled_job_ids,
--   started_ms, finished_ms, resumed_ms   what is in each of them now
--   deleted_ids    the jobs that are to be gone, which the transaction has locked
--   rpcs, request_ids, fingerprints, answers   of each request that was not a repetition, in the order of their names
--   types, actors, api_key_ids, told_request_ids, told_job_ids, told_revisions, told   of each event of the commands,
--                  in the order in which these were done. Where a job has ended or is gone, how many contacts of it are
--                  in which status comes to what is told
-- Answers
--   nothing. It fails with CS001 if one of the request ids was taken meanwhile.
-- Locks
--   the rows of the requests, in the order that they are given in, then the head of the log, all until the commit.
--   Whoever takes the same id at the same time is waited for, a quarter of a second at most: nobody knows what the
--   other one waits for. Whoever has the head waits for nobody, and is waited for longer.
-- Repeated
--   it finds the request ids taken.
-- Form
--   One call is one round trip, and the commit goes with it: so it fails where it might answer that it must not be
--   committed. It is planned once for each connection, perhaps while the tables are empty. So it is written, and set,
--   such that every row can only be found through its key: by a join from what is given, the organization included,
--   since what is known before the join would be looked up before it, and all that the organization has be read; it
--   is one of a list (end_leases.sql tells why).
create function write_commands(
  organization int, now_ms bigint, job_ids uuid[], statuses text[], failure_reasons text[], revisions bigint[],
  timezones text[], requested_start_times text[], scheduled_ms bigint[], scheduled_job_ids uuid[],
  started_ms bigint[], finished_ms bigint[], resumed_ms bigint[], deleted_ids uuid[], rpcs text[], request_ids text[],
  fingerprints bytea[], answers jsonb[], types text[], actors text[], api_key_ids uuid[], told_request_ids text[],
  told_job_ids uuid[], told_revisions bigint[], told jsonb[]
)
returns void
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '250ms'
as $$
declare
  millisecond constant interval := '1 millisecond';
  kept int;
  all_told jsonb[];
begin
  -- Commands move no contacts: they are counted while each job is there.
  select array_agg(case when c.counts is null then t.data else coalesce(t.data, '{}') || c.counts end order by t.place)
  into all_told
  from unnest(types, told_job_ids, told) with ordinality as t (type, job_id, data, place)
  left join lateral (
    select jsonb_build_object('counts', contact_counts(b)) as counts from batch_jobs b
    where t.type in ('batch_job.completed', 'batch_job.failed', 'batch_job.cancelled', 'batch_job.deleted')
      and b.organization_id = organization and b.id = t.job_id
    limit 1
  ) as c on true;

  with t as materialized (
    select organization as organization_id, g.*
    from unnest(
      job_ids, statuses, failure_reasons, revisions, timezones, requested_start_times, scheduled_ms,
      scheduled_job_ids, started_ms, finished_ms, resumed_ms
    ) as g (
      id, status, failure_reason, revision, timezone, requested_start_time, scheduled_ms, scheduled_job_id,
      started_ms, finished_ms, resumed_ms
    )
  )
  update batch_jobs b set
    status = t.status, failure_reason = t.failure_reason, revision = t.revision, timezone = t.timezone,
    requested_start_time = t.requested_start_time,
    scheduled_at = timestamptz 'epoch' + t.scheduled_ms * millisecond, scheduled_job_id = t.scheduled_job_id,
    started_at = timestamptz 'epoch' + t.started_ms * millisecond,
    finished_at = timestamptz 'epoch' + t.finished_ms * millisecond,
    resume_at = timestamptz 'epoch' + t.resumed_ms * millisecond,
    updated_at = timestamptz 'epoch' + now_ms * millisecond, pause_reason = null,
    recent_outcomes = case when b.status = t.status then b.recent_outcomes end
  from t
  where b.organization_id = any (array[t.organization_id]) and b.id = t.id;

  with t as materialized (
    select organization as organization_id, g.id from unnest(deleted_ids) as g (id)
  ), gone as (
    delete from batch_jobs b using t
    where b.organization_id = any (array[t.organization_id]) and b.id = t.id
    returning b.organization_id, b.id, b.total_contacts
  )
  insert into deleted_jobs (organization_id, job_id, last_number) select organization_id, id, total_contacts from gone;

  insert into requests (organization_id, rpc, request_id, fingerprint, answer)
  select organization, t.rpc, t.request_id, t.fingerprint, t.answer
  from unnest(rpcs, request_ids, fingerprints, answers) as t (rpc, request_id, fingerprint, answer)
  on conflict (organization_id, rpc, request_id) do update set
    fingerprint = excluded.fingerprint, created_at = excluded.created_at, answer = excluded.answer, entry_removed = null
  where requests.created_at < kept_since(clock_timestamp());
  get diagnostics kept = row_count;
  if kept < cardinality(rpcs) then
    raise exception 'a request id was taken meanwhile' using errcode = 'CS001';
  end if;

  perform set_config('lock_timeout', '2s', true);
  perform write_events(
    organization, now_ms, types, actors, api_key_ids, told_request_ids, told_job_ids, told_revisions,
    array_fill(null::int, array[cardinality(types)]), all_told);
end $$;
