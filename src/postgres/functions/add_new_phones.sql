-- Puts phones on the list of those that an organization has nobody call, if all of them are new there.
--
-- Arguments
--   organization       whose list it is
--   phones             in their order, each once
--   reasons, expiries  of each of them; or one, of all
-- Answers
--   true; or false, with nothing written, if one of the phones has an entry, be it one that has expired.
-- Locks
--   the rows that it writes, until the commit; none if it answers false.
-- Repeated
--   it answers false.
-- Form
--   An insert that says what is to be done on conflict looks for each row before it enters it, and says of each in the
--   log of writes that it has: twice the work. One that fails is caught here, since Postgres writes what is caught in
--   no log: it would name the phone.
create function add_new_phones(
  organization int, phones bigint[], reasons text[], expiries timestamptz[]
) returns boolean
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  added timestamptz(3) := clock_timestamp();
begin
  insert into suppressed_phones (organization_id, phone, added_at, expires_at, reason)
  select organization, g.phone, added, coalesce(g.expires_at, expiries[1]), coalesce(g.reason, reasons[1])
  from unnest(phones, reasons, expiries) as g (phone, reason, expires_at);
  return true;
exception when unique_violation then
  return false;
end $$;
