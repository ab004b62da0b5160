-- Puts off the end of those of an organization's leases that are live: to so long from now.
--
-- Arguments
--   organization                         whose jobs they are; leases of another's are not extended
--   job_ids, numbers, attempts, nonces   of each lease
--   duration_ms                          for how long, from now
-- Answers
--   a row for each lease that was extended: its place (from 1), and until when. Of one that is given twice, one place.
-- Locks
--   the organization's row, then the leases as they are found, all until the commit. All who lock several leases lock
--   their organization first, so none waits for another in the middle.
-- Repeated
--   it extends again, from then on. It does not bring back a lease whose time is over.
-- Form
--   One call is one round trip and one commit. The lock is a statement of its own: what comes after it sees what was
--   committed before, and takes the time when it need not wait any more.
--   It is planned once for each connection, perhaps while the tables are empty. So it is written, and set, such that
--   every row can only be found through its key: by a join from what is given, of which the organization is a column,
--   and no constant, for which alone rows could be found too, and one of a list (end_leases.sql tells why).
create function extend_leases(
  organization int, job_ids uuid[], numbers int[], attempts int[], nonces bigint[], duration_ms bigint
) returns table (place int, expires_ms bigint)
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  ending timestamptz(3);
begin
  perform from organizations o where o.id = organization for no key update;
  ending := date_trunc('milliseconds', clock_timestamp()) + duration_ms * interval '1 millisecond';
  return query
  with given as materialized (
    select organization as organization_id, g.*
    from unnest(job_ids, numbers, attempts, nonces) with ordinality as g (job_id, number, attempt, nonce, place)
  )
  update leases l set expires_at = ending from given g
  where l.organization_id = any (array[g.organization_id])
    and l.job_id = g.job_id and l.number = g.number and l.attempt = g.attempt
    and l.nonce = g.nonce and l.expires_at > clock_timestamp()
  returning g.place::int, (extract(epoch from ending) * 1000)::bigint;
end $$;
