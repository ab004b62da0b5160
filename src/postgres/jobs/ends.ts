import { sql } from "kysely";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { telling } from "../events/events.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { isOwnedAs } from "../owned.ts";

/** Jobs that should have ended by now, the longest past first. */
export async function dueEnds(db: Database, limit: number): Promise<JobKey[]> {
  return await db
    .selectFrom("batch_jobs")
    .select(["organization_id as organizationId", "id"])
    .where("end_at", "<=", sql<Date>`(select clock_timestamp())`)
    .where("finished_at", "is", null)
    .orderBy("end_at")
    .limit(limit)
    .execute();
}

/** When the next job ends by itself. */
export async function nextEndAt(db: Database): Promise<Date | null> {
  const row = await db
    .selectFrom("batch_jobs")
    .select("end_at as endAt")
    .where("end_at", ">", sql<Date>`(select clock_timestamp())`)
    .where("finished_at", "is", null)
    .orderBy("end_at")
    .limit(1)
    .executeTakeFirst();
  return row?.endAt ?? null;
}

const by = { actor: "scheduler", requestId: "" } as const;

/** A job that has ended because its end has come. */
export type EndedJob = {
  readonly id: string;
  readonly revision: number;
  readonly status: "completed" | "failed";
  /** The entry under which it was scheduled. */
  readonly scheduledJobId: string | null;
  /** How many sets of time zones its contacts are in. */
  readonly zoneSets: number;
  /** How many of its contacts are not called any more. */
  readonly expired: number;
};

/**
 * Ends those of the jobs whose end has come, and which nobody else has locked, and tells of it: their open contacts are
 * expired, which follows from that. Calls in progress go on. A command may have moved the end, or another replica come
 * first.
 */
export async function endDueJobs(
  db: Database,
  organizationId: number,
  ids: readonly string[],
): Promise<EndedJob[]> {
  return await db.transaction().execute((trx) =>
    telling(trx, organizationId, async (tell) => {
      const ended = await end(trx, organizationId, ids);
      for (const { id, revision, status, failureReason, counts } of ended) {
        const data = { failureReason, counts };
        tell({ type: `batch_job.${status}`, ...by, batchJobId: id, revision, data });
      }
      return ended;
    }),
  );
}

async function end(
  trx: Trx,
  organizationId: number,
  ids: readonly string[],
): Promise<(EndedJob & { failureReason: string | null; counts: object })[]> {
  const { rows } = await sql<EndedJob & { failureReason: string | null; counts: object }>`
    with due as materialized (
      select organization_id, id, scheduled_job_id, date_trunc('milliseconds', clock_timestamp()) as now
      from batch_jobs
      where organization_id = ${organizationId} and id = any(${plainArray(ids)}::uuid[])
        and end_at <= clock_timestamp() and finished_at is null
      order by id
      for no key update skip locked
    )
    update batch_jobs b
    set status = ${sql.id(functions.statusAtEnd.name)}(b.completed_contacts),
      failure_reason = case when b.started_at is null then 'start_missed'
        else ${sql.id(functions.failureAtEnd.name)}(b.completed_contacts) end,
      finished_at = due.now, updated_at = due.now, revision = b.revision + 1, scheduled_job_id = null,
      resume_at = null, pause_reason = null, recent_outcomes = null
    from due
    where ${isOwnedAs("b", "due")} and b.id = due.id
    returning b.id, b.revision, b.status, due.scheduled_job_id as "scheduledJobId", b.zone_sets as "zoneSets",
      b.pending_contacts + b.waiting_retry_contacts as expired, b.failure_reason as "failureReason",
      ${sql.id(functions.contactCounts.name)}(b) as counts
  `.execute(trx);
  return rows;
}
