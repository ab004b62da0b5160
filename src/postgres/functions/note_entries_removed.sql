-- Notes that the Redis halves of commands are done, and which of them took an entry out of the schedule. What was once
-- noted as taken out stays so.
--
-- Arguments
--   organization        whose requests they are
--   rpcs, request_ids   of each request, in the order of their names
--   removed             whether it took an entry out
-- Answers
--   nothing.
-- Locks
--   the rows of the requests, in the order that they are given in, until the commit.
-- Repeated
--   it changes nothing, but that an entry may have been taken out by the repetition.
-- Form
--   One call is one round trip and one commit.
--   It is planned once for each connection, perhaps while the tables are empty. So it is written, and set, such that
--   every row can only be found through its key: by a join from what is given, the organization included, since what is
--   known before the join would be looked up before it, and all that the organization has be read.
create function note_entries_removed(
  organization int, rpcs text[], request_ids text[], removed boolean[]
) returns void
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
begin
  with t as materialized (
    select organization as organization_id, g.*
    from unnest(rpcs, request_ids, removed) as g (rpc, request_id, removed)
  )
  update requests r set entry_removed = coalesce(r.entry_removed, false) or t.removed
  from t
  where r.organization_id = any (array[t.organization_id]) and r.rpc = t.rpc and r.request_id = t.request_id;
end $$;
