import { sql } from "kysely";
import { type CallingHours, type Opening, findOpening } from "../../domain/time/hours.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { plainArray } from "../leasing/lease-rows.ts";

/** A retry of a contact in a set of time zones of a job, whose delay is over then. */
export type Retry = { readonly jobId: string; readonly zoneSet: number; readonly at: Date };

/** When a retry can be made. */
type NextAttempt = (retry: Retry) => Date | null;

type SetRow = {
  readonly jobId: string;
  readonly zoneSet: number;
  readonly zones: readonly string[];
  readonly own: CallingHours | null;
  readonly floor: CallingHours | null;
  readonly now: Date;
};

const nameOf = ({ jobId, zoneSet }: Pick<Retry, "jobId" | "zoneSet">): string => `${jobId} ${zoneSet}`;

/**
 * Tells of each of the retries when it can be made: once its delay is over, or when the hours of its contact, as they
 * are now, open after that; null if they never do.
 */
export async function readNextAttempts(
  db: Database | Trx,
  organizationId: number,
  retries: readonly Retry[],
): Promise<NextAttempt> {
  const sets = [...new Map(retries.map((retry) => [nameOf(retry), retry])).values()];
  if (sets.length === 0) return ({ at }) => at;
  const { rows } = await sql<SetRow>`
    select g.job_id as "jobId", g.zone_set as "zoneSet",
      case when g.zone_set > 0 then z.zones else array[b.timezone] end as zones,
      b.calling_hours as own, o.calling_hours as floor, clock_timestamp() as now
    from unnest(
      ${plainArray(sets.map(() => organizationId))}::int[], ${plainArray(sets.map(({ jobId }) => jobId))}::uuid[],
      ${plainArray(sets.map(({ zoneSet }) => zoneSet))}::int[]
    ) as g (organization_id, job_id, zone_set)
    cross join lateral (
      select timezone, calling_hours from batch_jobs
      where organization_id = g.organization_id and id = g.job_id and zone_sets > 0 limit 1
    ) as b
    cross join lateral (select calling_hours from organizations where id = g.organization_id limit 1) as o
    cross join lateral (
      select zones from zone_sets
      where organization_id = g.organization_id and job_id = g.job_id and zone_set = g.zone_set limit 1
    ) as z
  `.execute(db);
  const inSet = new Map(rows.map((row) => [nameOf(row), withinHours(row)]));
  return (retry) => {
    const within = inSet.get(nameOf(retry));
    return within === undefined ? retry.at : within(retry.at);
  };
}

/** When what may be done at a time is within the hours of a set. Many times in one opening take one look for it. */
function withinHours({ own, floor, zones, now }: SetRow): (at: Date) => Date | null {
  const hours = [own, floor].filter((each) => each !== null);
  const found: { readonly soughtMs: number; readonly opening: Opening | undefined }[] = [];

  function openingAt(atMs: number): Opening | undefined {
    const known = found.find(
      ({ soughtMs, opening }) => soughtMs <= atMs && atMs < (opening?.untilMs ?? Infinity),
    );
    if (known !== undefined) return known.opening;
    const opening = findOpening(hours, zones, atMs);
    found.push({ soughtMs: atMs, opening });
    return opening;
  }

  return (at) => {
    if (hours.length === 0) return at;
    // A time in an opening that is over by now has been missed.
    const opening = openingAt(Math.max(at.getTime(), now.getTime()));
    return opening === undefined ? null : new Date(Math.max(at.getTime(), opening.fromMs));
  };
}
