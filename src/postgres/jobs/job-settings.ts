import type { BatchJob, JobSettings } from "../../domain/jobs/batch-job.ts";
import { type Trx, moved } from "./batch-jobs.ts";
import { replaceLabels } from "./job-labels.ts";
import { toBatchJob } from "./job-rows.ts";
import { nextCallAt } from "../leasing/pace.ts";
import type { BatchJobsTable } from "../schema/tables.ts";

const columns = {
  name: "name",
  description: "description",
  labels: "labels",
  concurrentCallLimit: "concurrent_call_limit",
  maxAttempts: "max_attempts",
  retryOn: "retry_on",
  retryDelaysMs: "retry_delays_ms",
  callsPerSecond: "calls_per_second",
  rampUpMs: "ramp_up_ms",
  priority: "priority",
  startWithinMs: "start_within_ms",
  pauseWhen: "pause_when",
  endAt: "end_at",
} as const satisfies Record<keyof PlainSettings, keyof BatchJobsTable>;

/** Those that are a column each, and nothing else; hours are in zone-sets.ts. */
type PlainSettings = Omit<JobSettings, "callingHours">;

const plainNames = Object.keys(columns) as (keyof PlainSettings)[];

export const settingNames: readonly (keyof JobSettings)[] = [...plainNames, "callingHours"];

/** True if a contact that waits for a retry may have to wait for none any more. */
const mayForbidRetries = (before: PlainSettings, after: PlainSettings): boolean =>
  after.maxAttempts < before.maxAttempts ||
  before.retryOn.some((outcome) => !after.retryOn.includes(outcome));

/** Changes settings of a job that this transaction has locked; whoever waits for a retry is to be judged by them. */
export async function changeSettings(
  trx: Trx,
  job: BatchJob,
  changes: Partial<JobSettings>,
): Promise<{ job: BatchJob; forbidsRetries: boolean }> {
  const forbidsRetries = job.counts.waiting_retry > 0 && mayForbidRetries(job, { ...job, ...changes });
  const set = plainNames
    .filter((name) => changes[name] !== undefined)
    .map((name) => [columns[name], changes[name]]);
  const row = await trx
    .updateTable("batch_jobs")
    .set({
      ...moved,
      ...Object.fromEntries(set),
      ...(forbidsRetries ? { retries_judged_to: 0 } : {}),
      ...(changes.callsPerSecond === undefined ? {} : { next_call_at: nextCallAt(changes.callsPerSecond) }),
      ...(changes.pauseWhen === undefined ? {} : { recent_outcomes: null }),
    })
    .where("organization_id", "=", job.organizationId)
    .where("id", "=", job.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  if (changes.labels !== undefined) await replaceLabels(trx, job);
  return { job: toBatchJob(row), forbidsRetries };
}
