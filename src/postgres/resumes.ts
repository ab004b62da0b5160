import { sql } from "kysely";
import { type BatchJob, openContacts } from "../domain/batch-job.ts";
import type { JobKey } from "../domain/job-id.ts";
import { record } from "./audit.ts";
import { databaseNow, finishJob, lockJob, moved } from "./batch-jobs.ts";
import type { Database } from "./database.ts";

/** The paused jobs that are to go on by now, the longest due first. */
export async function dueResumes(db: Database, limit: number): Promise<JobKey[]> {
  return await db
    .selectFrom("batch_jobs")
    .select(["organization_id as organizationId", "id"])
    .where("resume_at", "<=", sql<Date>`(select clock_timestamp())`)
    .where("status", "=", "paused")
    .orderBy("resume_at")
    .limit(limit)
    .execute();
}

/** When the next paused job is to go on. */
export async function nextResumeAt(db: Database): Promise<Date | null> {
  const row = await db
    .selectFrom("batch_jobs")
    .select("resume_at as resumeAt")
    .where("resume_at", ">", sql<Date>`(select clock_timestamp())`)
    .where("status", "=", "paused")
    .orderBy("resume_at")
    .limit(1)
    .executeTakeFirst();
  return row?.resumeAt ?? null;
}

export type ResumedJob = Pick<BatchJob, "status" | "revision" | "zoneSets">;

/**
 * Lets a job go on if it is paused still, and its time to do so has come: a command may have come first, or another
 * replica. One of which nothing is open ends by it. Undefined if it does nothing.
 */
export async function resumeDueJob(db: Database, key: JobKey): Promise<ResumedJob | undefined> {
  return await db.transaction().execute(async (trx) => {
    const job = await lockJob(trx, key.organizationId, key.id);
    const { organizationId, id, resumeAt, zoneSets } = job;
    if (job.status !== "paused" || resumeAt === null || resumeAt > (await databaseNow(trx))) return undefined;
    await trx
      .updateTable("batch_jobs")
      .set({ resume_at: null, pause_reason: null, recent_outcomes: null })
      .where("organization_id", "=", organizationId)
      .where("id", "=", id)
      .execute();
    const { status, revision } =
      openContacts(job) === 0
        ? await finishJob(trx, organizationId, id)
        : await trx
            .updateTable("batch_jobs")
            .set({ ...moved, status: "running" })
            .where("organization_id", "=", organizationId)
            .where("id", "=", id)
            .returning(["status", "revision"])
            .executeTakeFirstOrThrow();
    const data = { status, resumeAt };
    await record(trx, organizationId, [
      { type: "batch_job.resumed", actor: "service", requestId: "", batchJobId: id, revision, data },
    ]);
    return { status, revision, zoneSets };
  });
}
