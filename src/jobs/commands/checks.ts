import { BatchJobError } from "../../domain/batch-job-error.ts";
import { type Command, checkAllowed, statusAt } from "../../domain/jobs/batch-job.ts";
import type { CommandRequest } from "./command.ts";
import { type Trx, databaseNow, lockJob } from "../../postgres/jobs/batch-jobs.ts";
import type { BatchJob } from "../queries.ts";

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

/** The same of a job that the transaction has locked, and that may have come to its end; answers the time. */
export async function checkNow(trx: Trx, command: Command, job: BatchJob): Promise<Date> {
  const now = await databaseNow(trx);
  const { endAt, counts } = job;
  const state = { status: job.status, endAtMs: endAt && endAt.getTime(), completed: counts.completed };
  checkAllowed(command, { id: job.id, status: statusAt(state, now.getTime()), dialing: counts.dialing });
  return now;
}

export const keyOf = (job: BatchJob) => ({ id: job.id, organizationId: job.organizationId });
