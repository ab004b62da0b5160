import type { Caller } from "../domain/caller.ts";
import { findJob } from "../postgres/jobs/batch-jobs.ts";
import type { Schedule } from "../redis/schedule.ts";
import type { BatchJob, Reads } from "./queries.ts";

/** What Redis has for a scheduled job. */
export type Entry =
  /** It stands in the sorted set under this time. */
  | { readonly state: "there"; readonly scheduledStartTimeMs: number }
  /** It is not there; the sweep puts it back. */
  | { readonly state: "missing" }
  /** Redis does not say. */
  | { readonly state: "away" };

/** What Postgres and Redis have of a job's next start. */
export function createScheduleStates({
  reads,
  schedule,
}: Pick<Reads, "reads"> & { schedule: Pick<Schedule, "dueTimes"> }) {
  async function entryOf(scheduledJobId: string): Promise<Entry> {
    try {
      const [scheduledStartTimeMs] = await schedule.dueTimes([scheduledJobId]);
      return scheduledStartTimeMs === undefined
        ? { state: "missing" }
        : { state: "there", scheduledStartTimeMs };
    } catch {
      return { state: "away" };
    }
  }

  return {
    /** The job, or job_not_found, and its entry; undefined where it is not scheduled. */
    async scheduleState(
      caller: Caller,
      batchJobId: string,
    ): Promise<{ job: BatchJob; entry: Entry | undefined }> {
      const job = await findJob(reads.of(caller.organizationId), caller.organizationId, batchJobId);
      const { scheduledJobId } = job;
      return { job, entry: scheduledJobId === null ? undefined : await entryOf(scheduledJobId) };
    },
  };
}
