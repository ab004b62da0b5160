-- Whether a line is that of a contact whose person was erased: it has no phone (../contacts/contact-blocks.ts tells the
-- format of lines).
--
-- Arguments
--   line  of a contact
-- Answers
--   whether it is; of no line, and of an empty one, which no contact has, it is not
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function is_erased_line(
  line text
) returns boolean
language sql immutable parallel safe
return coalesce(starts_with(line, E'\t'), false);
