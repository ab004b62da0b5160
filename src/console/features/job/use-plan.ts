import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { PlanBatchJobResponse } from "../../../gen/callsheet/v1/plan_pb.ts";
import { service } from "../../data/client.ts";
import { useLoad } from "../../data/use-load.ts";

/** What a call is taken to last until somebody says otherwise. */
export const usualCallSeconds = 120;

/** What is left of the job as the service plans it: from now on, or from the time that it is scheduled for. */
export function usePlan(
  job: BatchJob,
  { callSeconds, from }: { callSeconds: number; from: "now" | "its time" },
): PlanBatchJobResponse | undefined {
  const { batchJobId, revision, counts } = job;
  const { data } = useLoad(
    ["plan", batchJobId, String(revision), counts?.total, callSeconds, from],
    (signal) =>
      service.planBatchJob(
        {
          batchJobId,
          // A time that has passed is now.
          ...(from === "now" ? { startTime: timestampFromMs(0) } : {}),
          assumedCallDuration: { seconds: BigInt(callSeconds) },
        },
        { signal },
      ),
  );
  return data;
}
