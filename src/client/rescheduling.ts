import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import {
  type BatchJobService,
  RescheduleBatchJobsRequestSchema,
  type RescheduleBatchJobsResponse,
} from "../gen/callsheet/v1/batch_job_service_pb.ts";
import { createPauses, pause } from "./pauses.ts";
import { passes } from "./repeats.ts";
import { withRequestIds } from "./request-ids.ts";

const withoutSummary = () => new ConnectError("the stream ended before its summary", Code.Unavailable);

/**
 * RescheduleBatchJobs until its summary: where the stream breaks off it is called again, with the same request id, for
 * as long as what broke it passes. A job that was moved is told once. `signal` and `timeoutMs` of the options are for
 * all calls together, and for each.
 */
export async function* rescheduleBatchJobs(
  jobs: Client<typeof BatchJobService>,
  request: MessageInitShape<typeof RescheduleBatchJobsRequestSchema>,
  options: CallOptions = {},
): AsyncGenerator<RescheduleBatchJobsResponse> {
  const whole = withRequestIds(RescheduleBatchJobsRequestSchema, request);
  const told = new Set<string>();
  const nextPauseMs = createPauses();
  for (;;) {
    try {
      for await (const message of jobs.rescheduleBatchJobs(whole, options)) {
        const { part } = message;
        if (part.case === "moved" && told.has(part.value.batchJobId)) continue;
        if (part.case === "moved") told.add(part.value.batchJobId);
        yield message;
        if (part.case === "summary") return;
      }
      throw withoutSummary();
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      const { signal } = options;
      if (signal?.aborted === true || !passes(error)) throw error;
      await pause(nextPauseMs(error), signal);
    }
  }
}
