import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { PlanBatchJobResponse } from "../../../gen/callsheet/v1/plan_pb.ts";
import { service } from "../service/client.ts";
import { useLoad } from "./use-load.ts";

/** What a call is taken to last until somebody says otherwise. */
export const usualCallSeconds = 120;

/** What is left gets less while the job runs. */
const refreshMs = 30_000;

/** What is left of the job as the service plans it: from now on, from its own time, or from another one. */
export function usePlan(
  job: BatchJob,
  { callSeconds, from }: { callSeconds: number; from: "now" | "its time" | Date },
): PlanBatchJobResponse | undefined {
  const { batchJobId, revision, counts } = job;
  const { data } = useLoad(
    ["plan", batchJobId, String(revision), counts?.total, callSeconds, String(from)],
    (signal) =>
      service.planBatchJob(
        {
          batchJobId,
          // A time that has passed is now.
          ...(from === "its time" ? {} : { startTime: timestampFromMs(from === "now" ? 0 : from.getTime()) }),
          assumedCallDuration: { seconds: BigInt(callSeconds) },
        },
        { signal },
      ),
    () => refreshMs,
  );
  return data;
}
