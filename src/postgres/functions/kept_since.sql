-- Since when what is kept for a day is still there: the answers to commands, for repetitions, and the rows that an
-- import has rejected.
--
-- Arguments
--   instant  when somebody asks
-- Answers
--   the time before which nothing of it was made.
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function kept_since(
  instant timestamptz
) returns timestamptz
language sql stable parallel safe
return instant - interval '24 hours';
