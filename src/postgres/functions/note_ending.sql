-- Writes the event of a job that has come to its end by itself: the one place where Postgres tells of an ending.
--
-- Arguments
--   job    as it is now, in the status that it has ended with
--   at     when that was
--   cause  who or what has ended it: an actor of the log
-- Answers
--   the number of the event.
-- Locks
--   the head of the log, until the commit: it is the last that a transaction locks.
-- Repeated
--   it writes another one.
-- Form
--   It is called by functions that have just written the job's row.
create function note_ending(
  job batch_jobs, at timestamptz, cause text
)
returns bigint
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  place bigint := take_sequences(job.organization_id, 1) + 1;
begin
  insert into events (organization_id, sequence, occurred_at, type, actor, request_id, batch_job_id, revision, data)
  values (job.organization_id, place, at, 'batch_job.' || job.status, cause, '', job.id, job.revision,
    jsonb_strip_nulls(jsonb_build_object(
      'failureReason', job.failure_reason, 'startLagMs', case when job.started_at is null then job.start_lag_ms end,
      'counts', contact_counts(job))));
  return place;
end $$;
