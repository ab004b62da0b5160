-- Locks jobs of one organization for commands that share a transaction, and reads what the commands need to be judged:
-- the jobs, the time, and the answers that are kept under their request ids.
--
-- Arguments
--   organization        whose jobs and requests they are; another's are not there
--   awaited             the one job that is waited for, a second at most, before the others are looked at; null for
--                       none. Jobs that somebody else has locked are left alone
--   job_ids             the jobs, in the order of their ids
--   rpcs, request_ids   of each request that may be a repetition
-- Answers
--   one row: the time, the jobs that are locked now, the ids of those that were left alone, and what is kept of which
--   of the requests (by its place, from 1).
-- Locks
--   the rows of the jobs, all until the commit: first that which is waited for, then the others, for none of which it
--   waits.
-- Repeated
--   it changes nothing.
-- Form
--   One call is one round trip. The locks come first, in a statement of their own: what is read after them was
--   committed by all who had them before, so that a repetition of a command finds the answer of the first call. It is
--   planned once for each connection, perhaps while the tables are empty. So it is written, and set, such that every
--   row can only be found through its key: by a lateral look-up for each of what is given, with a limit, where there
--   is another index that could be tried.
create function lock_for_commands(
  organization int, awaited uuid, job_ids uuid[], rpcs text[], request_ids text[],
  out now_ms bigint, out jobs json, out left_alone uuid[], out kept json
)
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '1s'
as $$
declare
  found_ids uuid[];
  -- Of the hours beyond which no job of the organization calls.
  floor_revision int := (select hours_revision from organizations where id = organization);
begin
  if awaited is not null then
    begin
      perform from batch_jobs where id = awaited and organization_id = organization for no key update;
    exception when lock_not_available then
      null;
    end;
  end if;
  select json_agg(b.state), array_agg(b.id)
  into jobs, found_ids
  from unnest(job_ids) with ordinality as t (id, turn)
  cross join lateral (
    select id, job_state(job, floor_revision) as state from batch_jobs job
    where id = t.id and organization_id = organization
    for no key update skip locked
  ) as b;
  now_ms := extract(epoch from date_trunc('milliseconds', clock_timestamp())) * 1000;

  if cardinality(job_ids) > coalesce(cardinality(found_ids), 0) then
    select array_agg(t.id)
    into left_alone
    from unnest(job_ids) as t (id)
    cross join lateral (
      select from batch_jobs where id = t.id and organization_id = organization limit 1
    ) as b
    where t.id <> all (coalesce(found_ids, '{}'));
  end if;

  select json_agg(json_build_object(
    'place', t.place, 'fingerprint', encode(r.fingerprint, 'base64'), 'answer', r.answer,
    'entryRemoved', r.entry_removed))
  into kept
  from unnest(rpcs, request_ids) with ordinality as t (rpc, request_id, place)
  cross join lateral (
    select fingerprint, answer, entry_removed, created_at from requests
    where organization_id = organization and rpc = t.rpc and request_id = t.request_id limit 1
  ) as r
  where r.created_at >= kept_since(clock_timestamp());
end $$;
