-- What the event of a job tells that has come to its end by itself, where a function ends it.
--
-- Arguments
--   job  as it is now, in the status that it has ended with
-- Answers
--   the data of its event.
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   An expression of the statement that it stands in: a thousand jobs may end together.
create function ending_data(
  job batch_jobs
)
returns jsonb
language sql stable parallel safe
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'failureReason', job.failure_reason, 'startLagMs', case when job.started_at is null then job.start_lag_ms end,
    'counts', contact_counts(job)))
$$;
