import type { BatchJob } from "../jobs/batch-jobs.ts";
import type { Entry } from "../jobs/schedule-state.ts";

const notes = {
  there: "The job starts at this time, or when Postgres says that it is due.",
  missing: "The entry is missing in Redis; it is put back from Postgres before it is due.",
};

/** What is known of a job's next start. */
export function toScheduleState({ job, entry }: { job: BatchJob; entry: Entry | undefined }) {
  const { scheduledJobId } = job;
  const isKnown = scheduledJobId !== null && entry !== undefined && entry.state !== "away";
  return {
    batchJobId: job.id,
    databaseStatus: job.status,
    scheduledJobId,
    scheduledStartTime: job.scheduledStartTime?.toISOString() ?? null,
    redisJobInfo: isKnown
      ? {
          job_id: scheduledJobId,
          in_defer_queue: entry.state === "there",
          // What is to be known of a start is in Postgres, which has just told it.
          job_metadata_exists: true,
          scheduled_time: entry.state === "there" ? new Date(entry.scheduledStartTimeMs).toISOString() : null,
          note: notes[entry.state],
        }
      : null,
    note: isKnown
      ? null
      : entry === undefined
        ? "The job is not scheduled."
        : "Redis does not answer; Postgres has the start, and Redis gets it when it is back.",
  };
}
