-- Why a job that was started, and has come to its end by itself, has failed.
--
-- Arguments
--   completed  how many of its contacts have had a call that was completed
-- Answers
--   the reason; null if it is a job that has completed
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function failure_at_end(
  completed int
) returns text
language sql immutable parallel safe
return case status_at_end(completed) when 'failed' then 'no_call_completed' end;
