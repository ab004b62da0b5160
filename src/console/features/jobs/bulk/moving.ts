import type { RescheduleBatchJobsRequestSchema } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { service } from "../../../data/service/client.ts";
import { insist } from "../../../data/service/insist.ts";
import { dateOf } from "../../../ui/format/times.ts";

export type MoveRequest = MessageInitShape<typeof RescheduleBatchJobsRequestSchema>;

/** Who looks on need not be told of each. */
const tellEvery = 50;

/** What became of one job, or would: its new start, or why it keeps its own. */
export type Told = { readonly batchJobId: string; readonly at?: Date | undefined; readonly why?: string };

/**
 * What the service tells of each job. Where the stream breaks it is asked again under the same request id, and then
 * tells of all again.
 */
export async function moveAll(
  request: MoveRequest,
  { tries, signal, onTold }: { tries: number; signal: AbortSignal; onTold: (told: readonly Told[]) => void },
): Promise<void> {
  await insist(
    async () => {
      const told = new Map<string, Told>();
      for await (const { part } of service.rescheduleBatchJobs(request, { signal, timeoutMs: 0 })) {
        if (part.case === "moved") {
          const { batchJobId, scheduledStartTime } = part.value;
          told.set(batchJobId, { batchJobId, at: dateOf(scheduledStartTime) });
        }
        if (part.case === "refused") {
          const { batchJobId, message } = part.value;
          told.set(batchJobId, { batchJobId, why: message });
        }
        if (part.case === "summary" || told.size % tellEvery === 0) onTold([...told.values()]);
      }
    },
    { tries, signal },
  );
}
