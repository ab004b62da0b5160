-- The key by which a phone is looked for on an organization's list of those that nobody calls: the index
-- suppressed_phones_by_key is of it.
--
-- Arguments
--   organization  whose list it is
--   phone         without its plus sign
-- Answers
--   a number that is nearly always another one for another organization or phone; null without a phone
-- Locks
--   nothing.
-- Repeated
--   it answers the same.
-- Form
--   One expression, that of the index, which planners put where the function is called: no call is left. In a hash of
--   it a phone is found on one page wherever it is among millions, for a quarter of what a look through a tree costs
--   whose pages are in no processor's cache. It names the organization, since many have the same phones on their
--   lists, and a hash of 32 bits. The factor, about 2^32 divided by the golden ratio, puts the same phones of
--   different organizations far from each other there. What else a row must have is said such that no other index can
--   be tried: "is true".
create function suppression_key(
  organization int, phone bigint
) returns bigint
language sql immutable parallel safe
return phone + organization::bigint * 2654435761;
