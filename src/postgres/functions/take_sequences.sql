-- Gives out the next numbers of an organization's log.
--
-- Arguments
--   organization  whose log it is
--   wanted        how many numbers
-- Answers
--   the last number that was given out before: those that are given out follow it.
-- Locks
--   the row of the head of the log, until the commit. So numbers are in the order of commits, and a transaction that is
--   rolled back leaves no gap. Everybody locks it last: whoever has it waits for nobody, but for the heads of
--   organizations with greater ids.
-- Repeated
--   it gives out other numbers.
-- Form
--   It raises the number and takes the lock in one, when all else is locked. Where an organization has no head yet its
--   first one makes it.
create function take_sequences(
  organization int, wanted int
)
returns bigint
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  last bigint;
begin
  update event_heads set sequence = sequence + wanted where organization_id = organization
  returning sequence into last;
  if last is null then
    insert into event_heads as h (organization_id, sequence) values (organization, wanted)
    on conflict (organization_id) do update set sequence = h.sequence + excluded.sequence
    returning h.sequence into last;
  end if;
  return last - wanted;
end $$;
