import { sql } from "kysely";
import type { ScheduleEntry } from "./batch-jobs.ts";
import type { Database } from "./database.ts";

/** A time relative to now, read once in a statement, so that an index can be searched for it. */
const fromNow = (interval: string) => sql<Date>`(select clock_timestamp() + ${interval}::interval)`;

/** Commands finish their Redis half well within this time; what is younger is not for the sweep. */
const settled = fromNow("-2 seconds");

/** The earliest jobs that are due within a minute, and whether their time has long passed. */
export async function entriesDueSoon(
  db: Database,
  limit: number,
): Promise<(ScheduleEntry & { isOverdue: boolean })[]> {
  return await db
    .selectFrom("batch_jobs")
    .select([
      "scheduled_job_id as scheduledJobId",
      "scheduled_at as dueAt",
      sql<boolean>`scheduled_at < ${fromNow("-15 seconds")}`.as("isOverdue"),
    ])
    .where("status", "=", "scheduled")
    .where("scheduled_at", "<", fromNow("1 minute"))
    .where("updated_at", "<", settled)
    .orderBy("scheduled_at")
    .limit(limit)
    .$narrowType<{ scheduledJobId: string; dueAt: Date }>()
    .execute();
}

/** The scheduled jobs after `afterJobId` in the order of their ids, for a pass over all of them. */
export async function scheduledEntries(
  db: Database,
  afterJobId: string,
  limit: number,
): Promise<(ScheduleEntry & { jobId: string })[]> {
  return await db
    .selectFrom("batch_jobs")
    .select(["id as jobId", "scheduled_job_id as scheduledJobId", "scheduled_at as dueAt"])
    .where("status", "=", "scheduled")
    .where("id", ">", afterJobId)
    .where("updated_at", "<", settled)
    .orderBy("id")
    .limit(limit)
    .$narrowType<{ scheduledJobId: string; dueAt: Date }>()
    .execute();
}

export type RunningJob = {
  id: string;
  organizationId: string;
  revision: number;
  total: number;
  pending: number;
};

/** The running jobs after `afterJobId` in the order of their ids. */
export async function runningJobs(db: Database, afterJobId: string, limit: number): Promise<RunningJob[]> {
  return await db
    .selectFrom("batch_jobs")
    .select([
      "id",
      "organization_id as organizationId",
      "revision",
      "total_contacts as total",
      "pending_contacts as pending",
    ])
    .where("status", "=", "running")
    .where("id", ">", afterJobId)
    .where("updated_at", "<", settled)
    .orderBy("id")
    .limit(limit)
    .execute();
}

/** Those of the jobs that are running still, as they are now. */
export async function stillRunning(db: Database, ids: readonly string[]): Promise<Set<string>> {
  const rows = await db
    .selectFrom("batch_jobs")
    .select("id")
    .where(sql<boolean>`id = any(${ids}::uuid[])`)
    .where("status", "=", "running")
    .execute();
  return new Set(rows.map((row) => row.id));
}
