import { sql } from "kysely";
import type { Point } from "../../domain/jobs/estimate.ts";
import type { CallingHours } from "../../domain/time/hours.ts";
import { type JobKey, writeJobKey } from "../../domain/jobs/job-id.ts";
import { pendingInSet } from "../leasing/candidates.ts";
import type { Database } from "../connections/database.ts";
import { asJobRows, isAsked } from "./job-rows.ts";
import { never } from "../leasing/retries.ts";

/*
 * How far running jobs were in each of the last minutes: a row for a job, which no lease and no report touches.
 */

/** So many points are kept of a job: ten minutes, and where they begin. */
const mostPoints = 11;

/** A point is noted once so much time has passed since the one before, whichever replica has noted that. */
const leastBetween = sql`interval '50 seconds'`;

/** Notes how many contacts of those of these jobs are final that run now, and whose hours are open for some. */
export async function noteProgress(
  db: Database,
  organizationId: number,
  ids: readonly string[],
): Promise<void> {
  await sql`
    insert into progress as p (organization_id, job_id, noted_at, final_contacts)
    select b.organization_id, b.id, array[clock.now],
      array[b.total_contacts - b.pending_contacts - b.waiting_retry_contacts - b.dialing_contacts]
    from ${asJobRows(ids.map((id) => ({ organizationId, id })))}
    cross join (select date_trunc('milliseconds', clock_timestamp()) as now) as clock
    join batch_jobs b on ${isAsked}
    where b.status = 'running' and (b.zone_sets = 0 or exists (
      select from zone_sets z
      where z.organization_id = b.organization_id and z.job_id = b.id
        and z.open_from <= clock.now and z.open_until > clock.now
        and (b.zone_sets = 1 or b.waiting_retry_contacts > 0 or ${pendingInSet} > 0)
    ))
    order by b.id
    on conflict (organization_id, job_id) do update set
      noted_at = (p.noted_at || excluded.noted_at)[greatest(1, cardinality(p.noted_at) + 2 - ${mostPoints}::int):],
      final_contacts =
        (p.final_contacts || excluded.final_contacts)[greatest(1, cardinality(p.noted_at) + 2 - ${mostPoints}::int):]
    where p.noted_at[cardinality(p.noted_at)] <= excluded.noted_at[1] - ${leastBetween}
  `.execute(db);
}

/** What is noted of a job, and what else its end is estimated from. */
export type NotedProgress = {
  readonly now: Date;
  readonly points: readonly Point[];
  readonly lastRetryAt: Date | null;
  /** The hours of its organization. */
  readonly floor: CallingHours | null;
};

/** How far those of the jobs were that are there, by their names. */
export async function readProgress(
  db: Database,
  jobs: readonly JobKey[],
): Promise<Map<string, NotedProgress>> {
  const { rows } = await sql<
    JobKey & Omit<NotedProgress, "points"> & { notedMs: number[] | null; final: number[] | null }
  >`
    select b.organization_id as "organizationId", b.id, clock_timestamp() as now, last.at as "lastRetryAt", o.calling_hours as floor,
      (select json_agg((extract(epoch from at) * 1000)::bigint order by place)
        from unnest(p.noted_at) with ordinality as n (at, place)) as "notedMs",
      p.final_contacts as final
    from ${asJobRows(jobs)}
    join batch_jobs b on ${isAsked}
    join organizations o on o.id = b.organization_id
    left join progress p on p.organization_id = b.organization_id and p.job_id = b.id
    cross join lateral (
      select max(at) as at from (
        (
          select due_at as at from retries
          where organization_id = b.organization_id and job_id = b.id and due_at < ${never}
          order by due_at desc limit 1
        )
        union all
        select r.zone_due_at from zone_sets z
        cross join lateral (
          select zone_due_at from retries
          where organization_id = z.organization_id and job_id = z.job_id and zone_set = z.zone_set and zone_set > 0
          order by zone_due_at desc limit 1
        ) as r
        where b.zone_sets > 1 and z.organization_id = b.organization_id and z.job_id = b.id and z.zone_set > 0
      ) as each
    ) as last
  `.execute(db);
  return new Map(
    rows.map(({ notedMs, final, ...row }) => [
      writeJobKey(row),
      { ...row, points: (notedMs ?? []).map((atMs, i) => ({ atMs, final: final?.[i] ?? 0 })) },
    ]),
  );
}
