import { BatchJobError } from "../domain/batch-job-error.ts";
import { type Command, checkAllowed } from "../domain/batch-job.ts";
import type { CommandRequest } from "./command.ts";
import { type Trx, lockJob } from "../postgres/batch-jobs.ts";
import type { BatchJob } from "./queries.ts";

/** A command on a job that exists. */
export type JobCommandRequest = CommandRequest & {
  readonly batchJobId: string;
  readonly expectedRevision: number | bigint | undefined;
};

/** Locks the job that a command names, or refuses: job_not_found, then revision_mismatch. */
export async function lockForCommand(trx: Trx, request: JobCommandRequest): Promise<BatchJob> {
  const job = await lockJob(trx, request.caller.organizationId, request.batchJobId);
  checkRevision(job, request.expectedRevision);
  return job;
}

export function checkRevision(
  job: { readonly id: string; readonly revision: number },
  expected: JobCommandRequest["expectedRevision"],
): void {
  if (expected === undefined || BigInt(expected) === BigInt(job.revision)) return;
  throw new BatchJobError(
    "revision_mismatch",
    `The batch job is at revision ${job.revision}, not ${expected}; read it again and decide anew.`,
    { batchJobId: job.id, revision: String(job.revision), expectedRevision: String(expected) },
  );
}

export const check = (command: Command, job: BatchJob): void =>
  checkAllowed(command, { id: job.id, status: job.status, dialing: job.counts.dialing });

export const keyOf = (job: BatchJob) => ({ id: job.id, organizationId: job.organizationId });
