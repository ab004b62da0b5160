import { sql } from "kysely";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { ScheduleEntry } from "./batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { telling } from "../events/events.ts";
import { functions } from "../functions/functions.ts";
import { asJobRows, isAsked } from "./job-rows.ts";
import { often } from "../connections/prepared.ts";

/** A time relative to now, read once in a statement, so that an index can be searched for it. */
const fromNow = (interval: string) => sql<Date>`(select clock_timestamp() + ${interval}::interval)`;

/**
 * Whether the last command on a job has finished its Redis half, as far as the times tell. They may lie ahead of a
 * clock that was set back, so that this is never the condition of a repair.
 */
const isSettled = sql<boolean>`updated_at < ${fromNow("-2 seconds")}`.as("isSettled");

/** The earliest jobs that are due within a minute, and whether their time has long passed. */
export async function entriesDueSoon(
  db: Database,
  limit: number,
): Promise<(ScheduleEntry & { isOverdue: boolean; isSettled: boolean })[]> {
  return await db
    .selectFrom("batch_jobs")
    .select([
      "scheduled_job_id as scheduledJobId",
      "scheduled_at as scheduledStartTime",
      sql<boolean>`scheduled_at < ${fromNow("-15 seconds")}`.as("isOverdue"),
      isSettled,
    ])
    .where("status", "=", "scheduled")
    .where("scheduled_at", "<", fromNow("1 minute"))
    .orderBy("scheduled_at")
    .limit(limit)
    .$narrowType<{ scheduledJobId: string; scheduledStartTime: Date }>()
    .execute();
}

export type ScheduledJob = ScheduleEntry & { jobId: string };

/**
 * The scheduled jobs after this one in the order of their times, for a pass over all of them. Also those that a
 * command has just scheduled: it may have added their entries before all were lost.
 */
export async function scheduledEntries(
  db: Database,
  after: ScheduledJob | undefined,
  limit: number,
): Promise<ScheduledJob[]> {
  return await db
    .selectFrom("batch_jobs")
    .select(["id as jobId", "scheduled_job_id as scheduledJobId", "scheduled_at as scheduledStartTime"])
    .where("status", "=", "scheduled")
    .$if(after !== undefined, (q) =>
      q.where(sql<boolean>`(scheduled_at, id) > (${after?.scheduledStartTime}, ${after?.jobId})`),
    )
    .orderBy("scheduled_at")
    .orderBy("id")
    .limit(limit)
    .$narrowType<{ scheduledJobId: string; scheduledStartTime: Date }>()
    .execute();
}

/** Looked up job by job. */
const isAsleep = sql<boolean>`zone_sets > 0 and coalesce((
  select true from zone_sets z
  where z.organization_id = batch_jobs.organization_id and z.job_id = batch_jobs.id and z.next_look_at is null limit 1
), false)`.as("isAsleep");

/** How many contacts are pending in each of its sets but the first. */
const pendingInSets = sql<number[]>`case when zone_sets > 1 then array(
  select z.pending_contacts from zone_sets z
  where z.organization_id = batch_jobs.organization_id and z.job_id = batch_jobs.id and z.zone_set > 0
  order by z.zone_set
) else '{}' end`.as("pendingInSets");

const isUnderOldHours = sql<boolean>`
  hours_revision <> (select o.hours_revision from organizations o where o.id = organization_id)`.as(
  "isUnderOldHours",
);

export type RunningJob = JobKey & {
  revision: number;
  totalContacts: number;
  pending: number;
  zoneSets: number;
  /** Those of its sets but the first. */
  pendingInSets: readonly number[];
  /** Nobody has reckoned when its contacts may be leased. */
  isAsleep: boolean;
  /** It was reckoned before its organization had the hours that it has now. */
  isUnderOldHours: boolean;
  isSettled: boolean;
};

/** True if contacts of a job are pending of which none is on a list, whose lengths these are, by their sets. */
export function lacksContacts(
  { pending, pendingInSets: others }: Pick<RunningJob, "pending" | "pendingInSets">,
  lengths: readonly number[],
): boolean {
  const inSet0 = others.reduce((rest, count) => rest - count, pending);
  return [inSet0, ...others].some((count, zoneSet) => count > 0 && (lengths[zoneSet] ?? 0) === 0);
}

/** The running jobs after this one in the order of their organizations and ids. */
const running = (db: Database, after: JobKey, limit: number) =>
  db
    .selectFrom("batch_jobs")
    .select(["id", "organization_id as organizationId"])
    .where("status", "=", "running")
    .where(sql<boolean>`(organization_id, id) > (${after.organizationId}, ${after.id})`)
    .orderBy("organization_id")
    .orderBy("id")
    .limit(limit);

/** The same, by their keys alone. */
export const runningJobKeys = (db: Database, after: JobKey, limit: number): Promise<JobKey[]> =>
  running(db, after, limit).execute();

/** The same, with what tells whether all is well with them. */
export async function runningJobs(db: Database, after: JobKey, limit: number): Promise<RunningJob[]> {
  return await running(db, after, limit)
    .select([
      "revision",
      "total_contacts as totalContacts",
      "pending_contacts as pending",
      "zone_sets as zoneSets",
      pendingInSets,
      isAsleep,
      isUnderOldHours,
      isSettled,
    ])
    .execute();
}

export type JobNow = { status: JobStatus; revision: number; totalContacts: number; zoneSets: number };

/** The jobs as they are now, by id; one that is gone is not among them. */
export async function jobsNow(db: Database, jobs: readonly JobKey[]): Promise<Map<string, JobNow>> {
  if (jobs.length === 0) return new Map();
  const { rows } = await sql<JobNow & { id: string }>`${often}
    select b.id, b.status, b.revision, b.total_contacts as "totalContacts", b.zone_sets as "zoneSets"
    from ${asJobRows(jobs)}
    join batch_jobs b on ${isAsked}
  `.execute(db);
  return new Map(rows.map(({ id, ...state }) => [id, state]));
}

const isOld = (days: number) =>
  sql`finished_at < (select clock_timestamp() - make_interval(days => ${days}::int)) and dialing_contacts = 0`;

/** Up to `limit` organizations that have jobs which ended more than so many days ago. */
export async function organizationsWithOldJobs(db: Database, days: number, limit: number): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from organizations o
    where exists (select from batch_jobs where organization_id = o.id and ${isOld(days)})
    limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/**
 * Deletes up to `size` of an organization's jobs that ended more than so many days ago, the oldest first, as a command
 * does; answers how many. Jobs that a command has locked, and those of which a contact is dialing still, are left for
 * later.
 */
export async function deleteOldJobs(
  db: Database,
  organizationId: number,
  days: number,
  size: number,
): Promise<number> {
  return await db.transaction().execute((trx) =>
    telling(trx, organizationId, async (tell) => {
      const { rows } = await sql<{ id: string; revision: number; data: object }>`
        with old as (
          select id from batch_jobs
          where organization_id = ${organizationId} and ${isOld(days)}
          order by finished_at limit ${size}
          for update skip locked
        ), deleted as (
          delete from batch_jobs b
          where organization_id = ${organizationId} and id = any (array(select id from old))
          returning organization_id, id, revision, total_contacts, json_build_object(
            'statusBefore', status, 'totalContacts', total_contacts,
            'counts', ${sql.id(functions.contactCounts.name)}(b)) as data
        ), left_over as (
          insert into deleted_jobs (organization_id, job_id, last_number)
          select organization_id, id, total_contacts from deleted
        )
        select id, revision, data from deleted
      `.execute(trx);
      const by = { actor: "service", requestId: "" } as const;
      for (const { id, revision, data } of rows) {
        tell({ type: "batch_job.deleted", ...by, batchJobId: id, revision, data });
      }
      return rows.length;
    }),
  );
}
