import { sql } from "kysely";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type { CallingHours, Opening } from "../../domain/time/hours.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { asJobRows, isAsked } from "../jobs/job-rows.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { often } from "../connections/prepared.ts";
import { insertZoneSets } from "./zone-sets.ts";
import { isOwnedAs } from "../owned.ts";

/*
 * The hours of jobs, and when the sets of their contacts are open. Leases are given while the clock of Postgres is
 * within the time in the row of a set, and such a time once reckoned is only moved on: whatever nobody has moved on, or
 * woken at the start of its job, is closed. Whoever writes such a row has locked its job.
 */

/** The hours of a job; undefined if it has none of its own, or is gone. */
export async function readCallingHours(db: Database | Trx, job: JobKey): Promise<CallingHours | undefined> {
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

/** The running jobs of an organization after this one that are not under the hours that it has now. */
export async function findOutdated(
  db: Database,
  organizationId: number,
  afterJobId: string,
  limit: number,
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select b.id from batch_jobs b
    where b.organization_id = ${organizationId} and b.status = 'running' and b.id > ${afterJobId}
      and b.hours_revision <> (select hours_revision from organizations where id = ${organizationId})
    order by b.id limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/** A set, and what its next opening is reckoned from. */
export type SetToReckon = {
  readonly jobId: string;
  readonly zoneSet: number;
  /** Undefined if the job is gone. */
  readonly status: JobStatus | undefined;
  readonly zones: readonly string[];
  /** All of them allow a call: the job's own, and its organization's. */
  readonly hours: readonly CallingHours[];
};

type LockedJob = {
  readonly id: string;
  readonly status: JobStatus;
  readonly timeZone: string;
  readonly callingHours: CallingHours | null;
  readonly hoursRevision: number;
};

/**
 * Locks the jobs of an organization until the transaction ends, and reads their sets, and the time. Waits for jobs that
 * somebody else has locked, or leaves them out. From here on the jobs are under the hours that their organization has.
 */
export async function lockZoneSets(
  trx: Trx,
  organizationId: number,
  jobIds: readonly string[],
  whereLocked: "wait" | "leave out",
): Promise<{ sets: SetToReckon[]; leftOut: string[]; now: Date }> {
  const ids = plainArray(jobIds);
  const { rows: jobs } = await sql<LockedJob>`
    select id, status, timezone as "timeZone", calling_hours as "callingHours", hours_revision as "hoursRevision"
    from batch_jobs
    where organization_id = ${organizationId} and id = any(${ids}::uuid[])
    order by id for no key update ${whereLocked === "wait" ? sql`` : sql`skip locked`}
  `.execute(trx);
  const floor = await readFloor(trx, organizationId);
  const outdated = jobs.filter(({ hoursRevision }) => hoursRevision !== floor.revision);
  await takeFloor(trx, organizationId, outdated, floor.revision);
  type Row = { jobId: string; zoneSet: number; zones: string[]; isThere: boolean; now: Date };
  const { rows } = await sql<Row>`
    select z.job_id as "jobId", z.zone_set as "zoneSet", z.zones, clock_timestamp() as now, coalesce((
      select true from batch_jobs where organization_id = z.organization_id and id = z.job_id limit 1
    ), false) as "isThere"
    from ${asJobRows(jobIds.map((id) => ({ organizationId, id })))}
    join zone_sets z on ${isOwnedAs("z", "asked")} and z.job_id = asked.id
  `.execute(trx);
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const sets = rows
    .filter(({ jobId, isThere }) => !isThere || byId.has(jobId))
    .map(({ jobId, zoneSet, zones }): SetToReckon => {
      const job = byId.get(jobId);
      return {
        jobId,
        zoneSet,
        status: job?.status,
        zones: zoneSet > 0 || job === undefined ? zones : [job.timeZone],
        hours: [job?.callingHours, floor.hours].flatMap((hours) => hours ?? []),
      };
    });
  const leftOut = jobIds.filter((id) => !byId.has(id) && rows.some((row) => row.jobId === id && row.isThere));
  return { sets, leftOut, now: rows[0]?.now ?? new Date(0) };
}

/** The hours beyond which no job of the organization calls. */
async function readFloor(
  trx: Trx,
  organizationId: number,
): Promise<{ hours: CallingHours | null; revision: number }> {
  const { rows } = await sql<{ hours: CallingHours | null; revision: number }>`
    select calling_hours as hours, hours_revision as revision from organizations where id = ${organizationId}
  `.execute(trx);
  const [floor] = rows;
  if (floor === undefined) throw new Error("an organization is gone");
  return floor;
}

/**
 * Has jobs that the transaction has locked reckoned under these hours of their organization. If these change meanwhile
 * the jobs give nothing, since their revision is another.
 */
async function takeFloor(
  trx: Trx,
  organizationId: number,
  jobs: readonly LockedJob[],
  revision: number,
): Promise<void> {
  if (jobs.length === 0) return;
  const keys = jobs.map(({ id }) => ({ organizationId, id }));
  await insertZoneSets(trx, keys);
  await sql`
    update batch_jobs b set hours_revision = ${revision}::int, zone_sets = greatest(b.zone_sets, 1)
    from ${asJobRows(keys)} where ${isAsked}
  `.execute(trx);
}

/** Gives a job that the transaction has locked other hours, or none. Its openings are to be reckoned then. */
export async function changeCallingHours(
  trx: Trx,
  { organizationId, id }: JobKey,
  hours: CallingHours | null,
): Promise<void> {
  await insertZoneSets(trx, [{ organizationId, id }]);
  await sql`
    update batch_jobs
    set calling_hours = ${hours === null ? null : JSON.stringify(hours)}, zone_sets = greatest(zone_sets, 1)
    where organization_id = ${organizationId} and id = ${id}
  `.execute(trx);
}

/** When a set is open; without an opening it is closed. Without hours it has no end before which a call must begin. */
export type SetOpening = Pick<SetToReckon, "jobId" | "zoneSet"> & {
  readonly opening: (Omit<Opening, "callBeforeMs"> & { readonly callBeforeMs?: number }) | undefined;
  /** When the next one is to be reckoned; undefined for never. */
  readonly nextLookAtMs: number | undefined;
};

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
        ${plainArray(openings.map(({ opening }) => opening?.fromMs))}::bigint[],
        ${plainArray(openings.map(({ opening }) => opening?.untilMs))}::bigint[],
        ${plainArray(openings.map(({ opening }) => opening?.callBeforeMs))}::bigint[],
        ${plainArray(openings.map(({ nextLookAtMs }) => nextLookAtMs))}::bigint[]
      ) as g (job_id, zone_set, from_ms, until_ms, call_before_ms, next_look_ms)
    )
    update zone_sets z set
      open_from = timestamptz 'epoch' + g.from_ms * g.ms, open_until = timestamptz 'epoch' + g.until_ms * g.ms,
      call_before = timestamptz 'epoch' + g.call_before_ms * g.ms,
      next_look_at = timestamptz 'epoch' + g.next_look_ms * g.ms
    from given g
    where ${isOwnedAs("z", "g")} and z.job_id = g.job_id and z.zone_set = g.zone_set
  `.execute(trx);
}
