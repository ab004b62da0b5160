-- How many contacts of a job are in each status, as events tell it.
--
-- Arguments
--   job  as it is stored
-- Answers
--   all contacts, and those in each of the statuses that are stored, by their names.
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   Like the counts themselves, each is written out. An expression of the statement that it stands in.
create function contact_counts(
  job batch_jobs
)
returns jsonb
language sql stable parallel safe
as $$
  select jsonb_build_object(
    'total', job.total_contacts, 'pending', job.pending_contacts, 'dialing', job.dialing_contacts,
    'waiting_retry', job.waiting_retry_contacts, 'completed', job.completed_contacts,
    'no_answer', job.no_answer_contacts, 'busy', job.busy_contacts, 'timeout', job.timeout_contacts,
    'voicemail', job.voicemail_contacts, 'blocked', job.blocked_contacts,
    'invalid_number', job.invalid_number_contacts, 'carrier_error', job.carrier_error_contacts,
    'failed', job.failed_contacts, 'unknown', job.unknown_contacts, 'suppressed', job.suppressed_contacts)
$$;
