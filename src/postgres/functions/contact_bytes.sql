-- How large a leased contact is in gRPC's binary form, at most.
--
-- Arguments
--   line                  of the contact
--   from_phone_number_id  of its job
-- Answers
--   bytes: those two, and 376 for all the rest, such as the marks around 50 fields; null for no line
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, which planners put where the function is called: no call is left.
create function contact_bytes(
  line text, from_phone_number_id text
) returns int
language sql immutable parallel safe
return octet_length(line) + octet_length(from_phone_number_id) + 376;
