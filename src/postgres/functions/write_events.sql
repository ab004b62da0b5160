-- Writes events of one organization into its log.
--
-- Arguments
--   organization  whose log it is
--   told_ms       when all of it happened; null for now
--   types, actors, api_key_ids, request_ids, job_ids, revisions, numbers, told   of each event, in their order
-- Answers
--   nothing.
-- Locks
--   the head of the log, until the commit: it is the last that a transaction locks.
-- Repeated
--   it writes them again.
-- Form
--   One call is one round trip, and the last one of its transaction, with which the commit goes: so nobody computes
--   while the head is locked.
create function write_events(
  organization int, told_ms bigint, types text[], actors text[], api_key_ids uuid[], request_ids text[],
  job_ids uuid[], revisions bigint[], numbers int[], told jsonb[]
)
returns void
language plpgsql
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  before bigint := take_sequences(organization, cardinality(types));
begin
  insert into events (
    organization_id, sequence, occurred_at, type, actor, api_key_id, request_id, batch_job_id, revision, number, data)
  select organization, before + t.place,
    coalesce(timestamptz 'epoch' + told_ms * interval '1 millisecond', date_trunc('milliseconds', clock_timestamp())),
    t.type, t.actor, t.api_key_id, t.request_id, t.job_id, t.revision, t.number, t.data
  from unnest(types, actors, api_key_ids, request_ids, job_ids, revisions, numbers, told)
    with ordinality as t (type, actor, api_key_id, request_id, job_id, revision, number, data, place);
end $$;
