import { sql } from "kysely";
import { planning } from "./planning.ts";

/*
 * Puts off the end of those of an organization's leases that are live. The organization's lock comes first, as for all who
 * lock several leases: so none waits for another in the middle.
 *   job_ids, numbers, attempts, nonces   of each lease
 * Answers the places (from 1) of leases that were extended, and until when; of one that is given twice, one place.
 */
export const extendLeases = sql`
  create function extend_leases(
    organization uuid, job_ids uuid[], numbers int[], attempts int[], nonces bigint[], duration_ms bigint
  ) returns table (place int, expires_ms bigint)
  language plpgsql
  ${planning}
  as $$
  #variable_conflict use_column
  declare
    ending timestamptz(3);
  begin
    perform from organizations o where o.id = organization for no key update;
    ending := date_trunc('milliseconds', clock_timestamp()) + duration_ms * interval '1 millisecond';
    return query
    update leases l set expires_at = ending
    from unnest(job_ids, numbers, attempts, nonces) with ordinality as g (job_id, number, attempt, nonce, place)
    cross join lateral (select organization_id from batch_jobs where id = g.job_id limit 1) as b
    where b.organization_id = organization
      and l.job_id = g.job_id and l.number = g.number and l.attempt = g.attempt and l.nonce = g.nonce
      and l.expires_at > clock_timestamp()
    returning g.place::int, (extract(epoch from ending) * 1000)::bigint;
  end $$`;
