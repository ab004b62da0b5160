import { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../data/service/client.ts";
import { insist } from "../../data/service/insist.ts";
import { type Settings, toRequest, zonesOf } from "../../ui/settings/settings.ts";

/** Creates the job, empty and without a start time; answers its id. */
export async function createJob(settings: Settings, requestId: string): Promise<string> {
  const { batchJobId } = await service.createBatchJob({
    requestId,
    ...toRequest(settings),
    ...zonesOf(settings),
  });
  return batchJobId;
}

const tries = 8;

/** Deletes the job if it is as it was created. */
export async function deleteEmpty(batchJobId: string): Promise<void> {
  const { batchJob: job } = await insist(() => service.getBatchJob({ batchJobId }), { tries });
  if (job === undefined || job.status !== BatchJobStatus.PENDING || job.counts?.total !== 0) return;
  const request = { batchJobId, expectedRevision: job.revision };
  await insist(() => service.deleteBatchJob(request), { tries });
}
