import { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../data/service/client.ts";
import { keeping, uploadOf } from "../../data/service/as-curl.ts";
import { insist } from "../../data/service/insist.ts";
import { type Calling, callOf } from "../../ui/form/as-curl.tsx";
import { type Settings, toRequest, zonesOf } from "../../ui/settings/settings.ts";

const requestOf = (settings: Settings, requestId: string) => ({
  requestId,
  ...toRequest(settings),
  ...zonesOf(settings),
});

/** Creates the job, empty and without a start time; answers its id. */
export async function createJob(settings: Settings, requestId: string): Promise<string> {
  const { batchJobId } = await service.createBatchJob(requestOf(settings, requestId));
  return batchJobId;
}

const idVariable = "BATCH_JOB_ID";

/** The same for a shell, with a file that has these columns. */
export const creating =
  (settings: Settings, titles: readonly string[]): Calling =>
  (requestId) => ({
    ...callOf(BatchJobService.method.createBatchJob, requestOf(settings, `${requestId}-before`)),
    script: (command) =>
      [keeping(idVariable, "batchJobId", command), uploadOf(`$${idVariable}`, titles, requestId)].join("\n"),
  });

const tries = 8;

/** Deletes the job if it is as it was created. */
export async function deleteEmpty(batchJobId: string): Promise<void> {
  const { batchJob: job } = await insist(() => service.getBatchJob({ batchJobId }), { tries });
  if (job === undefined || job.status !== BatchJobStatus.PENDING || job.counts?.total !== 0) return;
  const request = { batchJobId, expectedRevision: job.revision };
  await insist(() => service.deleteBatchJob(request), { tries });
}
