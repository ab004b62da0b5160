-- What commands know of a job, as domain/jobs/job-state.ts has it.
--
-- Arguments
--   job             as it is stored
--   floor_revision  of the hours beyond which no job of its organization calls now
-- Answers
--   its state; a job that is not under these hours yet has a set of time zones at least, so that it is woken.
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function job_state(
  job batch_jobs, floor_revision int
) returns json
language sql stable parallel safe
as $$
  select json_build_object(
    'id', job.id, 'status', job.status, 'failureReason', job.failure_reason, 'revision', job.revision,
    'timeZone', job.timezone, 'requestedStartTime', job.requested_start_time,
    'scheduledStartTimeMs', (extract(epoch from job.scheduled_at) * 1000)::bigint,
    'scheduledJobId', job.scheduled_job_id, 'startedAtMs', (extract(epoch from job.started_at) * 1000)::bigint,
    'finishedAtMs', (extract(epoch from job.finished_at) * 1000)::bigint,
    'endAtMs', (extract(epoch from job.end_at) * 1000)::bigint, 'totalContacts', job.total_contacts,
    'pending', job.pending_contacts, 'waitingRetry', job.waiting_retry_contacts, 'dialing', job.dialing_contacts,
    'completed', job.completed_contacts, 'zoneSets', case when job.hours_revision = floor_revision
      then job.zone_sets else greatest(job.zone_sets, 1::smallint) end)
$$;
