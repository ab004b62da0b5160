import type { DescMessage, DescMethod, MessageInitShape } from "@bufbuild/protobuf";
import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { forEach } from "../../../data/service/as-curl.ts";
import { type Calling, callOf } from "../../../ui/form/as-curl.tsx";

const variable = "BATCH_JOB_ID";
/** What is left for a request id beside the id of a job. */
const startOfId = 8;

/** The same command to each of the jobs, as a shell gives it: whatever they are by then. */
export const callingEach =
  <I extends DescMessage>(
    jobs: readonly BatchJob[],
    method: DescMethod & { readonly input: I },
    requestOf: (each: { batchJobId: string; requestId: string }) => MessageInitShape<I>,
  ): Calling =>
  (requestId) => {
    const each = { batchJobId: `$${variable}`, requestId: `${requestId.slice(0, startOfId)}-$${variable}` };
    const ids = jobs.map(({ batchJobId }) => batchJobId);
    return { ...callOf(method, requestOf(each)), script: (command) => forEach(variable, ids, command) };
  };
