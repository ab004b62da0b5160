import type { BatchJob, BatchJobStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../../data/service/client.ts";
import { insist } from "../../../data/service/insist.ts";
import { refusalOf } from "../../../data/service/refusal.ts";
import { type ListAddress, filterOf } from "../address.ts";
import type { Selection } from "../selection.ts";
import { each } from "./each.ts";

/** As many jobs as one round of commands is sent to; whoever means more does it again for the rest. */
export const mostJobs = 10_000;

const pageSize = 1_000;
const atOnce = 8;

export type Found = {
  readonly jobs: readonly BatchJob[];
  /** Whether there may be more of them. */
  readonly isAtLeast: boolean;
};

/** The jobs that are selected, in one of these statuses, as they are now. */
export async function findJobs(
  selection: Selection,
  address: ListAddress,
  statuses: readonly BatchJobStatus[],
  signal: AbortSignal,
): Promise<Found> {
  if (selection === "all") return await findAll(address, statuses, signal);
  const jobs: BatchJob[] = [];
  await each([...selection], { atOnce, signal }, async (batchJobId) => {
    const job = await jobOf(batchJobId, signal);
    if (job !== undefined && statuses.includes(job.status)) jobs.push(job);
  });
  return { jobs, isAtLeast: false };
}

/** Undefined if it was deleted meanwhile. */
async function jobOf(batchJobId: string, signal: AbortSignal): Promise<BatchJob | undefined> {
  const get = () => service.getBatchJob({ batchJobId }, { signal });
  try {
    return (await insist(get, { tries: Infinity, signal })).batchJob;
  } catch (error) {
    if (refusalOf(error).reason === "job_not_found") return undefined;
    throw error;
  }
}

async function findAll(
  address: ListAddress,
  statuses: readonly BatchJobStatus[],
  signal: AbortSignal,
): Promise<Found> {
  const meant = statuses.filter(
    (status) => address.statuses.length === 0 || address.statuses.includes(status),
  );
  const jobs: BatchJob[] = [];
  if (meant.length === 0) return { jobs, isAtLeast: false };
  const filter = filterOf({ ...address, statuses: meant });
  let pageToken = "";
  do {
    const request = { ...filter, pageSize, pageToken };
    const list = () => service.listBatchJobs(request, { signal });
    const answer = await insist(list, { tries: Infinity, signal });
    jobs.push(...answer.batchJobs);
    pageToken = answer.nextPageToken;
  } while (pageToken !== "" && jobs.length < mostJobs);
  return { jobs: jobs.slice(0, mostJobs), isAtLeast: pageToken !== "" || jobs.length > mostJobs };
}
