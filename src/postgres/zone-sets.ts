import { sql } from "kysely";
import type { JobStatus } from "../domain/batch-job.ts";
import type { CallingHours, Opening } from "../domain/hours.ts";
import type { JobKey } from "../domain/job-id.ts";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "./database.ts";
import { asJobRows } from "./job-rows.ts";
import { plainArray } from "./lease-rows.ts";
import { often } from "./prepared.ts";

/*
 * A job with hours has a row for each set of time zones that its contacts are in. Leases are given while the clock of
 * Postgres is within the time in that row, and such a time once reckoned is only moved on: whatever nobody has moved
 * on, or woken at the start of its job, is closed. Whoever writes such a row has locked its job.
 */

/** Writes the rows of new jobs that have hours: closed, since these jobs do not run. */
export async function insertZoneSets(trx: Trx, jobs: readonly JobKey[]): Promise<void> {
  if (jobs.length === 0) return;
  const rows = jobs.map(({ organizationId, id }) => ({
    organization_id: organizationId,
    job_id: id,
    zone_set: 0,
  }));
  await trx.insertInto("zone_sets").values(rows).execute();
}

/** The hours of a job; undefined if it has none, or is gone. */
export async function readCallingHours(db: Database, job: JobKey): Promise<CallingHours | undefined> {
  const { rows } = await sql<{ callingHours: CallingHours | null }>`${often}
    select calling_hours as "callingHours" from batch_jobs
    where organization_id = ${job.organizationId} and id = ${job.id}
  `.execute(db);
  return rows[0]?.callingHours ?? undefined;
}

/** The jobs of up to `limit` sets whose time is over, the longest past first; a job as often as it has such sets. */
export async function findOver(db: Database, limit: number): Promise<JobKey[]> {
  const { rows } = await sql<JobKey>`${often}
    select organization_id as "organizationId", job_id as id from zone_sets
    where next_look_at <= (select clock_timestamp())
    order by next_look_at limit ${limit}
  `.execute(db);
  return rows;
}

/** A set, and what its next opening is reckoned from. */
export type ZoneSet = {
  readonly jobId: string;
  readonly zoneSet: number;
  /** Undefined if the job is gone. */
  readonly status: JobStatus | undefined;
  readonly zones: readonly string[];
  readonly hours: readonly CallingHours[];
};

/**
 * Locks the jobs of an organization until the transaction ends, and reads their sets, and the time. Waits for jobs that
 * somebody else has locked, or leaves them out.
 */
export async function lockZoneSets(
  trx: Trx,
  organizationId: number,
  jobIds: readonly string[],
  whereLocked: "wait" | "leave out",
): Promise<{ sets: ZoneSet[]; now: Date }> {
  const ids = plainArray(jobIds);
  const { rows: jobs } = await sql<{
    id: string;
    status: JobStatus;
    timeZone: string;
    callingHours: CallingHours | null;
  }>`
    select id, status, timezone as "timeZone", calling_hours as "callingHours" from batch_jobs
    where organization_id = ${organizationId} and id = any(${ids}::uuid[])
    order by id for no key update ${whereLocked === "wait" ? sql`` : sql`skip locked`}
  `.execute(trx);
  const { rows } = await sql<{ jobId: string; zoneSet: number; isThere: boolean; now: Date }>`
    select z.job_id as "jobId", z.zone_set as "zoneSet", clock_timestamp() as now, coalesce((
      select true from batch_jobs where organization_id = z.organization_id and id = z.job_id limit 1
    ), false) as "isThere"
    from ${asJobRows(jobIds.map((id) => ({ organizationId, id })))}
    join zone_sets z on z.organization_id = asked.organization_id and z.job_id = asked.id
  `.execute(trx);
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const sets = rows
    .filter(({ jobId, isThere }) => !isThere || byId.has(jobId))
    .map(({ jobId, zoneSet }): ZoneSet => {
      const job = byId.get(jobId);
      return {
        jobId,
        zoneSet,
        status: job?.status,
        zones: job === undefined ? [] : [job.timeZone],
        hours: job?.callingHours ? [job.callingHours] : [],
      };
    });
  return { sets, now: rows[0]?.now ?? new Date(0) };
}

/** When a set is open; without an opening it is closed. */
export type SetOpening = Pick<ZoneSet, "jobId" | "zoneSet"> & {
  readonly opening: Opening | undefined;
  /** When the next one is to be reckoned; undefined for never. */
  readonly nextLookAtMs: number | undefined;
};

const instants = (values: (number | undefined)[]) => plainArray(values.map((value) => value ?? "null"));

/** Writes when sets are open, of jobs that the transaction has locked. */
export async function writeOpenings(
  trx: Trx,
  organizationId: number,
  openings: readonly SetOpening[],
): Promise<void> {
  if (openings.length === 0) return;
  await sql`
    with given as materialized (
      select ${organizationId}::int as organization_id, g.*, interval '1 millisecond' as ms
      from unnest(
        ${plainArray(openings.map(({ jobId }) => jobId))}::uuid[],
        ${plainArray(openings.map(({ zoneSet }) => zoneSet))}::smallint[],
        ${instants(openings.map(({ opening }) => opening?.fromMs))}::bigint[],
        ${instants(openings.map(({ opening }) => opening?.untilMs))}::bigint[],
        ${instants(openings.map(({ opening }) => opening?.callBeforeMs))}::bigint[],
        ${instants(openings.map(({ nextLookAtMs }) => nextLookAtMs))}::bigint[]
      ) as g (job_id, zone_set, from_ms, until_ms, call_before_ms, next_look_ms)
    )
    update zone_sets z set
      open_from = timestamptz 'epoch' + g.from_ms * g.ms, open_until = timestamptz 'epoch' + g.until_ms * g.ms,
      call_before = timestamptz 'epoch' + g.call_before_ms * g.ms,
      next_look_at = timestamptz 'epoch' + g.next_look_ms * g.ms
    from given g
    where z.organization_id = g.organization_id and z.job_id = g.job_id and z.zone_set = g.zone_set
  `.execute(trx);
}
