import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { WatchBatchJobsResponse } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { pauseBefore, waitFor } from "../page/pause.ts";
import { type Refusal, refusalOf } from "../service/refusal.ts";

/** The service gives a sign of life every 15 s; a stream that is silent for longer than this is broken. */
const longestSilenceMs = 40_000;
/** When all jobs are final the stream ends. They are looked at again from time to time: one may be deleted. */
const restMs = 15_000;

export type Follower = {
  /** Opens a stream of these jobs. */
  readonly open: (ids: readonly string[], signal: AbortSignal) => AsyncIterable<WatchBatchJobsResponse>;
  readonly onJob: (job: BatchJob) => void;
  readonly onHeard: () => void;
  /** The stream broke, and is opened again. */
  readonly onBroken: (refusal: Refusal) => void;
  /** The service refuses these jobs, for good: one of them is gone, or the key is. */
  readonly onRefused: (refusal: Refusal) => void;
};

/** Follows the jobs until the signal aborts, over one stream at a time, and over a new one whenever it breaks. */
export async function follow(ids: readonly string[], follower: Follower, signal: AbortSignal): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop);
    let silence = setTimeout(stop, longestSilenceMs);
    try {
      for await (const { batchJob } of follower.open(ids, attempt.signal)) {
        clearTimeout(silence);
        silence = setTimeout(stop, longestSilenceMs);
        failures = 0;
        if (signal.aborted) return;
        follower.onHeard();
        if (batchJob) follower.onJob(batchJob);
      }
      await waitFor(restMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      const refusal = refusalOf(error);
      const isLater = refusal.isPassing || refusal.reason === "limit_exceeded";
      if (!isLater && refusal.reason !== "") return follower.onRefused(refusal);
      // A stream that was open may have come of age: only a second one that fails says that the service is away.
      if (failures > 0) follower.onBroken(refusal);
      await pauseBefore(failures++, signal);
    } finally {
      clearTimeout(silence);
      signal.removeEventListener("abort", stop);
    }
  }
}
