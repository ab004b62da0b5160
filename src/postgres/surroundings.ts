import { sql } from "kysely";
import type { Surroundings } from "../domain/holds.ts";
import { type JobKey, writeJobKey } from "../domain/job-id.ts";
import type { Database } from "./database.ts";
import { asJobRows } from "./job-rows.ts";
import { limitNow, nextCall, nextRoom } from "./pace.ts";

/** Due retries are not counted beyond this: for more a job's page would take longer than a tenth of a second. */
const mostDueCounted = 100_000;

/** What Postgres knows of how things are around a job. */
export type Stored = Omit<Surroundings, "hasWorker"> & { readonly now: Date };

/** How things are around those of the jobs that are there, by their names. */
export async function readSurroundings(db: Database, jobs: readonly JobKey[]): Promise<Map<string, Stored>> {
  const now = sql<Date>`clock.now`;
  const { rows } = await sql<JobKey & Stored>`
    select b.organization_id as "organizationId", b.id, clock.now,
      b.zone_sets = 0 or coalesce(z.open_from <= clock.now and clock.now < z.open_until, false) as "isOpen",
      case when z.open_from > clock.now then z.open_from end as "opensAt",
      ${limitNow("b")} - b.dialing_contacts as "jobFree", ${nextRoom("b", now)} as "jobFreeAt",
      o.lease_limit - o.dialing as "organizationFree",
      greatest(${nextCall("b", now)}, ${nextCall("o", now)}) as "nextCallAt",
      due.retries as "dueRetries", next.at as "nextRetryAt"
    from ${asJobRows(jobs)}
    cross join (select clock_timestamp() as now) as clock
    join batch_jobs b on b.organization_id = asked.organization_id and b.id = asked.id
    join organizations o on o.id = b.organization_id
    left join zone_sets z on z.organization_id = b.organization_id and z.job_id = b.id and z.zone_set = 0
    cross join lateral (
      select count(*)::int as retries from (
        select from retries
        where organization_id = b.organization_id and job_id = b.id and due_at <= clock.now
        limit ${mostDueCounted}
      ) as counted
    ) as due
    left join lateral (
      select due_at as at from retries
      where organization_id = b.organization_id and job_id = b.id and due_at > clock.now
      order by due_at limit 1
    ) as next on true
  `.execute(db);
  return new Map(rows.map((row) => [writeJobKey(row), row]));
}
