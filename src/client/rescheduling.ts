import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError } from "@connectrpc/connect";
import type {
  BatchJobService,
  RescheduleBatchJobsRequestSchema,
  RescheduleBatchJobsResponse,
} from "../gen/callsheet/v1/batch_job_service_pb.ts";
import { askedPauseMs, passes } from "./repeats.ts";

const firstPauseMs = 100;
const longestPauseMs = 5_000;

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
  const requestId =
    request.requestId === undefined || request.requestId === "" ? randomUUID() : request.requestId;
  const told = new Set<string>();
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(2 * pauseMs, longestPauseMs)) {
    try {
      for await (const message of jobs.rescheduleBatchJobs({ ...request, requestId }, options)) {
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
      const nextMs = Math.max(pauseMs * (0.5 + Math.random() / 2), askedPauseMs(error) ?? 0);
      await delay(nextMs, undefined, signal && { signal }).catch(() => {
        throw ConnectError.from(signal?.reason, Code.Canceled);
      });
    }
  }
}
