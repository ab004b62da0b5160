import { type Transaction, sql } from "kysely";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { By, Tell } from "../../domain/event.ts";
import { isUuid } from "../../domain/jobs/job-id.ts";
import type { BatchJob, NewBatchJob } from "../../domain/jobs/batch-job.ts";
import type { Database } from "../connections/database.ts";
import { functions } from "../functions/functions.ts";
import { insertLabels } from "./job-labels.ts";
import { jobColumns, toBatchJob, toInsert } from "./job-rows.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { often } from "../connections/prepared.ts";
import type { BatchJobRow, Tables } from "../schema/tables.ts";
import { insertZoneSets } from "../contacts/zone-sets.ts";

export type Trx = Transaction<Tables>;

/** The database's clock, cut to what is stored. It is the only clock that decides anything. */
const now = sql<Date>`date_trunc('milliseconds', clock_timestamp())`;

export const jobNotFound = (id: string) =>
  new BatchJobError("job_not_found", "There is no such batch job in this organization.", {
    batchJobId: id.slice(0, 64),
  });

export async function databaseNow(db: Database | Trx): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error("the database told no time");
  return row.now;
}

/** The job, or job_not_found; another organization's job is not found. */
export async function findJob(db: Database | Trx, organizationId: number, id: string): Promise<BatchJob> {
  if (!isUuid(id)) throw jobNotFound(id);
  const { rows } = await sql<BatchJobRow>`${often}
    select ${jobColumns("batch_jobs")} from batch_jobs where organization_id = ${organizationId} and id = ${id}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) throw jobNotFound(id);
  return toBatchJob(row);
}

/** Locks the job until the transaction ends; otherwise as findJob. */
export async function lockJob(trx: Trx, organizationId: number, id: string): Promise<BatchJob> {
  if (!isUuid(id)) throw jobNotFound(id);
  const row = await trx
    .selectFrom("batch_jobs")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .where("id", "=", id)
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow(() => jobNotFound(id));
  return toBatchJob(row);
}

/** Locks the job that stands under this entry of the schedule, if it still does. */
export async function lockScheduledJob(trx: Trx, scheduledJobId: string): Promise<BatchJob | undefined> {
  const row = await trx
    .selectFrom("batch_jobs")
    .selectAll()
    .where("scheduled_job_id", "=", scheduledJobId)
    .forNoKeyUpdate()
    .executeTakeFirst();
  return row && toBatchJob(row);
}

export async function insertJobs(trx: Trx, jobs: readonly NewBatchJob[]): Promise<void> {
  if (jobs.length === 0) return;
  await trx.insertInto("batch_jobs").values(jobs.map(toInsert)).execute();
  await insertZoneSets(
    trx,
    jobs.filter(({ callingHours }) => callingHours !== null),
  );
  await insertLabels(
    trx,
    jobs.filter(({ labels }) => Object.keys(labels).length > 0),
  );
}

/** What every change of a job writes. */
export const moved = { revision: sql<number>`revision + 1`, updated_at: now };

/** What is to be known of a job that has just been started, or has failed instead. */
export type StartedBatchJob = Pick<
  BatchJob,
  | "id"
  | "organizationId"
  | "status"
  | "failureReason"
  | "revision"
  | "totalContacts"
  | "zoneSets"
  | "startLagMs"
  | "concurrentCallLimit"
  | "maxAttempts"
  | "fromPhoneNumberId"
>;

/**
 * Starts every job of these entries, which are UUIDs, whose time has come and which nobody else has locked, or this
 * transaction has, in one statement.
 */
export async function startDueJobs(
  db: Database | Trx,
  scheduledJobIds: readonly string[],
): Promise<StartedBatchJob[]> {
  const { rows } = await sql<StartedBatchJob>`
    select id, organization_id as "organizationId", status, failure_reason as "failureReason", revision, total_contacts as "totalContacts",
      zone_sets as "zoneSets", start_lag_ms as "startLagMs", concurrent_call_limit as "concurrentCallLimit",
      max_attempts as "maxAttempts", from_phone_number_id as "fromPhoneNumberId"
    from ${sql.id(functions.startDueJobs.name)}(${plainArray(scheduledJobIds)})
  `.execute(db);
  return rows;
}

export type ScheduleEntry = { scheduledJobId: string; scheduledStartTime: Date };

/**
 * Those of the entries that still stand for a start, with the time that Postgres has for them, and how long ago that
 * was.
 */
export async function standingEntries(
  db: Database,
  scheduledJobIds: readonly string[],
): Promise<(ScheduleEntry & { overdueMs: number })[]> {
  if (scheduledJobIds.length === 0) return [];
  // Not prepared, and looked up one by one: a plan that was made while few jobs were scheduled, or for so many at once,
  // might walk over all that are.
  const { rows } = await sql<ScheduleEntry & { overdueMs: number }>`
    select b.scheduled_job_id as "scheduledJobId", b.scheduled_at as "scheduledStartTime",
      floor(date_part('epoch', clock_timestamp() - b.scheduled_at) * 1000)::bigint as "overdueMs"
    from unnest(${plainArray(scheduledJobIds)}::uuid[]) as e (id)
    cross join lateral (
      select scheduled_job_id, scheduled_at from batch_jobs
      where scheduled_job_id = e.id limit 1
    ) as b
  `.execute(db);
  return rows;
}

/** Counts contacts that were added to a job that this transaction has locked, with their phones or without. */
export async function countAdded(
  trx: Trx,
  organizationId: number,
  id: string,
  { count, withPhones }: { count: number; withPhones: boolean },
): Promise<BatchJob> {
  const row = await trx
    .updateTable("batch_jobs")
    .set({
      ...moved,
      total_contacts: sql<number>`total_contacts + ${count}::int`,
      pending_contacts: sql<number>`pending_contacts + ${count}::int`,
      has_all_phones: sql<boolean>`has_all_phones and ${withPhones}::boolean`,
    })
    .where("organization_id", "=", organizationId)
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
  return toBatchJob(row);
}

/** How many contacts a job has in each status, in SQL, of a row of jobs by this name. */
const contactCounts = (row: string) => sql<object>`${sql.id(functions.contactCounts.name)}(${sql.ref(row)})`;

/** What is told of a job that has just ended, beside who has ended it. */
const endingColumns = [
  "revision",
  "status",
  "failure_reason as failureReason",
  contactCounts("batch_jobs").as("counts"),
] as const;

/** Ends a running job of which nothing is open, and tells of it. The transaction has locked it. */
export async function finishJob(
  trx: Trx,
  organizationId: number,
  id: string,
  by: By,
  tell: Tell,
): Promise<{ revision: number }> {
  const { revision, status, ...data } = await trx
    .updateTable("batch_jobs")
    .set({
      status: sql<"completed" | "failed">`${sql.id(functions.statusAtEnd.name)}(completed_contacts)`,
      failure_reason: sql<string | null>`${sql.id(functions.failureAtEnd.name)}(completed_contacts)`,
      finished_at: now,
      updated_at: now,
      revision: sql<number>`revision + 1`,
    })
    .where("organization_id", "=", organizationId)
    .where("id", "=", id)
    .where("status", "in", ["running", "paused"])
    .returning(endingColumns)
    .$narrowType<{ status: "completed" | "failed" }>()
    .executeTakeFirstOrThrow();
  tell({ type: `batch_job.${status}`, ...by, batchJobId: id, revision, data });
  return { revision };
}

/**
 * Completes a job that failed for want of a completed call, now that one was reported. The transaction has locked it.
 */
export async function completeFailedJob(
  trx: Trx,
  organizationId: number,
  id: string,
  by: By,
  tell: Tell,
): Promise<void> {
  const {
    revision,
    status: _,
    ...data
  } = await trx
    .updateTable("batch_jobs")
    .set({ ...moved, status: "completed", failure_reason: null })
    .where("organization_id", "=", organizationId)
    .where("id", "=", id)
    .where("status", "=", "failed")
    .returning(endingColumns)
    .executeTakeFirstOrThrow();
  tell({ type: "batch_job.completed", ...by, batchJobId: id, revision, data });
}
