import { sql } from "kysely";
import { statusAt } from "../../domain/jobs/batch-job.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import { type JobState, endingOf, resumed } from "../../domain/jobs/job-state.ts";
import { lockForCommands, writeCommands } from "./commands.ts";
import type { Database } from "../connections/database.ts";

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

/**
 * Lets a job go on as a command would, if it is paused still, and its time to do so has come: a command may have come
 * first, or another replica. Undefined if it does nothing, also since somebody else has locked the job.
 */
export async function resumeDueJob(
  db: Database,
  { organizationId, id }: JobKey,
): Promise<JobState | undefined> {
  return await db.transaction().execute(async (trx) => {
    const { now, jobs } = await lockForCommands(trx, organizationId, { jobIds: [id], requests: [] });
    const before = jobs.get(id);
    if (before?.status !== "paused") return undefined;
    const { resumeAt } = await trx
      .selectFrom("batch_jobs")
      .select("resume_at as resumeAt")
      .where("organization_id", "=", organizationId)
      .where("id", "=", id)
      .executeTakeFirstOrThrow();
    if (resumeAt === null || resumeAt > now || statusAt(before, now.getTime()) !== "paused") return undefined;
    const job = resumed(before, now.getTime());
    const { status, revision } = job;
    const data = { status, resumeAt };
    const told = [{ type: "batch_job.resumed" as const, data }, ...endingOf(job)];
    const by = { actor: "scheduler", requestId: "", batchJobId: id, revision } as const;
    const events = told.map((one) => ({ ...one, ...by }));
    await writeCommands(trx, organizationId, { now, jobs: [job], deletedIds: [], answers: [], events });
    return job;
  });
}
