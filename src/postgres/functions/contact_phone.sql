-- The phone in the line of a contact, without its plus sign (../contacts/contact-blocks.ts tells the format of lines).
--
-- Arguments
--   line  of the contact
-- Answers
--   the phone as a number; null for no line, or an empty one
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function contact_phone(
  line text
) returns bigint
language sql immutable parallel safe
return nullif(substr(split_part(line, E'\t', 1), 2), '')::bigint;
