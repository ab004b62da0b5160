-- Starts the jobs of entries of the schedule whose time has come, whosever they are, and waits for nobody.
--
-- Arguments
--   entries  as the schedule has them; one that stands for nothing, or whose time has not come, starts nothing
-- Answers
--   a row for each job that runs now, or has failed because it has no contacts, or because its time is longer past than
--   it allows, or its end has come; with how many sets of time zones its contacts are in, at least one if there are
--   hours to be reckoned for it, and what a worker needs of it
-- Locks
--   the rows of those jobs, then the heads of the logs of their organizations in the order of their ids, until the
--   commit; a row that somebody else has locked is left alone.
-- Repeated
--   it changes nothing: a job that has been started stands under no entry.
-- Form
--   The only condition that matters is in one statement: still under the same entry, which only scheduled jobs
--   have, due by the database's clock. Each entry is looked up by itself, so that a batch costs the same however many
--   jobs there are, and whatever the planner knew when a connection planned it. A locked row cannot move, so that it is
--   found again by its place. One that was changed by others just before it was locked is not seen at its new place,
--   and is left for the next look.
create function start_due_jobs(
  entries uuid[]
) returns table (
  id uuid, organization_id int, status text, failure_reason text, revision bigint, total_contacts int,
  zone_sets smallint, start_lag_ms bigint, concurrent_call_limit int, max_attempts int, from_phone_number_id text
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
  begun timestamptz := clock_timestamp();
  starting timestamptz(3) := date_trunc('milliseconds', begun);
begin
  return query
  with due as materialized (
    select job.place
    from unnest(entries) as entry (id)
    cross join lateral (
      select ctid as place from batch_jobs
      where scheduled_job_id = entry.id and scheduled_at <= begun
      for no key update skip locked
    ) as job
  ), moved as (
    update batch_jobs b
    set (failure_reason, status, started_at, finished_at) = (
        select reason, case when reason is null then 'running' else 'failed' end,
          case when reason is null then starting end, case when reason is not null then starting end
        from (
          select case
            when begun > b.scheduled_at + b.start_within_ms * interval '1 ms' or begun >= b.end_at then 'start_missed'
            when b.total_contacts = 0 then 'no_contacts'
          end as reason
        ) as why
      ),
      start_lag_ms = (date_part('epoch', begun - scheduled_at) * 1000)::bigint,
      scheduled_job_id = null, revision = revision + 1, updated_at = starting
    where ctid = any (array(select place from due))
    returning b as job, case when b.hours_revision = (
        select o.hours_revision from organizations o where o.id = b.organization_id
      ) then b.zone_sets else greatest(b.zone_sets, 1::smallint) end as sets
  ), owners as materialized (
    select o.organization_id, o.jobs, take_sequences(o.organization_id, cardinality(o.jobs)) as before
    from (
      select (job).organization_id, array_agg(job order by (job).id) as jobs
      from moved group by (job).organization_id order by 1
    ) as o
  ), told as (
    insert into events (
      organization_id, sequence, occurred_at, type, actor, request_id, batch_job_id, revision, data)
    select o.organization_id, o.before + j.ordinality, starting,
      case when j.status = 'running' then 'batch_job.started' else 'batch_job.failed' end, 'scheduler', '', j.id,
      j.revision, jsonb_strip_nulls(jsonb_build_object(
        'startLagMs', j.start_lag_ms, 'failureReason', j.failure_reason,
        'counts', case when j.status <> 'running' then contact_counts(o.jobs[j.ordinality]) end))
    from owners o
    cross join lateral unnest(o.jobs) with ordinality as j
  )
  select (job).id, (job).organization_id, (job).status, (job).failure_reason, (job).revision, (job).total_contacts,
    sets, (job).start_lag_ms, (job).concurrent_call_limit, (job).max_attempts::int, (job).from_phone_number_id
  from moved;
end $$;
