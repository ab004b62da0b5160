import { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../data/client.ts";
import { insist } from "../../data/insist.ts";
import { type Picked, asRequest } from "../../data/use-reading.ts";
import { type Settings, toRequest } from "../../ui/settings.ts";
import type { Start } from "./start-choice.tsx";

/** Creates the job, empty and without a start time; answers its id. */
export async function createJob(settings: Settings, requestId: string): Promise<string> {
  const { batchJobId } = await service.createBatchJob({ requestId, ...toRequest(settings) });
  return batchJobId;
}

/** Starts or schedules the job as was chosen; answers what the service says to it. */
export async function startAsChosen(
  batchJobId: string,
  requestId: string,
  start: Start,
  picked: Picked,
): Promise<string> {
  const request = { batchJobId, requestId };
  if (start === "now") return (await service.startBatchJob(request)).message;
  if (start === "scheduled")
    return (await service.rescheduleBatchJob({ ...request, ...asRequest(picked) })).message;
  return "It waits to be started";
}

const tries = 8;

/** Deletes the job if it is as it was created. */
export async function deleteEmpty(batchJobId: string): Promise<void> {
  const { batchJob: job } = await insist(() => service.getBatchJob({ batchJobId }), { tries });
  if (job === undefined || job.status !== BatchJobStatus.PENDING || job.counts?.total !== 0) return;
  const request = { batchJobId, expectedRevision: job.revision };
  await insist(() => service.deleteBatchJob(request), { tries });
}
