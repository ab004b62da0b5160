-- The status of a job that has come to its end by itself.
--
-- Arguments
--   completed  how many of its contacts have had a call that was completed
-- Answers
--   'completed' if there are any, otherwise 'failed'
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function status_at_end(
  completed int
) returns text
language sql immutable parallel safe
return case when completed > 0 then 'completed' else 'failed' end;
