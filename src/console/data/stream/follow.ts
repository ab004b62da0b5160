import type { BatchJob } from "../../gen/callsheet/v1/batch_job_pb.ts";
import { noteRefusal, service } from "./client.ts";
import { noteAnswer, pauseBefore, waitFor } from "./connection.ts";
import { type Refusal, refusalOf } from "./refusal.ts";
import { stopWhenHidden, untilSeen } from "./visibility.ts";

/** The service gives a sign of life every 15 s; a stream that is silent for longer than this is broken. */
const longestSilenceMs = 40_000;
/** When all jobs are final the stream ends. They are looked at again from time to time: one may be deleted. */
const restMs = 15_000;

type Watcher = {
  readonly onJob: (job: BatchJob) => void;
  /** The service refuses these jobs, for good: one of them is gone. */
  readonly onRefused: (refusal: Refusal) => void;
};

/** Follows the jobs until the signal aborts, over one stream at a time, and over a new one whenever it breaks. */
export async function watchJobs(
  ids: readonly string[],
  watcher: Watcher,
  signal: AbortSignal,
): Promise<void> {
  for (let failures = 0; !signal.aborted;) {
    await untilSeen(signal);
    const attempt = new AbortController();
    const stop = () => attempt.abort();
    signal.addEventListener("abort", stop);
    const forgetHidden = stopWhenHidden(stop);
    let silence = setTimeout(stop, longestSilenceMs);
    try {
      const options = { signal: attempt.signal, timeoutMs: 0 };
      for await (const { batchJob } of service.watchBatchJobs({ batchJobIds: [...ids] }, options)) {
        clearTimeout(silence);
        silence = setTimeout(stop, longestSilenceMs);
        failures = 0;
        noteAnswer();
        if (signal.aborted) return;
        if (batchJob) watcher.onJob(batchJob);
      }
      await waitFor(restMs, signal);
    } catch (error) {
      if (signal.aborted) return;
      if (document.hidden) continue;
      const refusal = refusalOf(error);
      // A stream that was open may have come of age: only a second one that fails says that the service is away.
      if (!refusal.isAway || failures > 0) noteRefusal(error);
      const isLater = refusal.isPassing || refusal.reason === "limit_exceeded";
      if (!isLater && refusal.reason !== "") return watcher.onRefused(refusal);
      await pauseBefore(failures++, signal);
    } finally {
      clearTimeout(silence);
      forgetHidden();
      signal.removeEventListener("abort", stop);
    }
  }
}
