import { sql } from "kysely";
import type { Surroundings } from "../domain/holds.ts";
import { type JobKey, writeJobKey } from "../domain/job-id.ts";
import type { Database } from "./database.ts";
import { asJobRows } from "./job-rows.ts";

/** Due retries are not counted beyond this: for more a job's page would take longer than a tenth of a second. */
export const mostDueCounted = 100_000;

/** What Postgres knows of how things are around a job. */
export type Stored = Omit<Surroundings, "hasWorker"> & { readonly now: Date };

/** How things are around those of the jobs whose organizations are there, by the names of the jobs. */
export async function readSurroundings(db: Database, jobs: readonly JobKey[]): Promise<Map<string, Stored>> {
  const { rows } = await sql<JobKey & Stored>`
    select asked.organization_id as "organizationId", asked.id, clock.now,
      o.lease_limit - o.dialing as "organizationFree", due.retries as "dueRetries", next.at as "nextRetryAt"
    from ${asJobRows(jobs)}
    cross join (select clock_timestamp() as now) as clock
    join organizations o on o.id = asked.organization_id
    cross join lateral (
      select count(*)::int as retries from (
        select from retries
        where organization_id = asked.organization_id and job_id = asked.id and due_at <= clock.now
        limit ${mostDueCounted}
      ) as counted
    ) as due
    left join lateral (
      select due_at as at from retries
      where organization_id = asked.organization_id and job_id = asked.id and due_at > clock.now
      order by due_at limit 1
    ) as next on true
  `.execute(db);
  return new Map(rows.map((row) => [writeJobKey(row), row]));
}
