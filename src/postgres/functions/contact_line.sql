-- The line of a contact in its block (../contacts/contact-blocks.ts tells the format of blocks).
--
-- Arguments
--   block  the lines of some contacts
--   place  which of them, from 1
-- Answers
--   the line; an empty one after the last
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function contact_line(
  block text, place int
) returns text
language sql immutable parallel safe
return split_part(block, E'\n', place);
