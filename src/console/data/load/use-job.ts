import { useEffect, useState } from "preact/hooks";
import { type BatchJob, BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../service/client.ts";
import type { Refusal } from "../service/refusal.ts";
import { watchJobs } from "../stream/watch.ts";
import { loaded, useLoad } from "./use-load.ts";

/** What is not in the stream, such as why contacts are not called, is asked for so often while the job is open. */
const refreshMs = 4_000;

const ended: ReadonlySet<BatchJobStatus> = new Set([
  BatchJobStatus.COMPLETED,
  BatchJobStatus.FAILED,
  BatchJobStatus.CANCELLED,
]);

export const hasEnded = ({ status }: BatchJob): boolean => ended.has(status);

const keyOf = (id: string) => ["job", id] as const;

/** The later of two words on a job; of the stream's what it does not tell is as it was. */
function later(before: BatchJob | undefined, next: BatchJob): BatchJob {
  if (before === undefined) return next;
  if (before.revision > next.revision) return before;
  next.holds = before.holds;
  if (before.estimatedFinishAt !== undefined) next.estimatedFinishAt ??= before.estimatedFinishAt;
  if (before.callingHours !== undefined) next.callingHours ??= before.callingHours;
  return next;
}

async function loadJob(id: string, signal: AbortSignal): Promise<BatchJob> {
  const { batchJob } = await service.getBatchJob({ batchJobId: id }, { signal });
  const known = loaded.getQueryData<BatchJob>(keyOf(id));
  if (batchJob === undefined) throw new Error("the service answered no job");
  if (known === undefined || known.revision <= batchJob.revision) return batchJob;
  // The stream was faster, and does not tell these.
  const { holds, estimatedFinishAt } = batchJob;
  return { ...known, holds, ...(estimatedFinishAt === undefined ? {} : { estimatedFinishAt }) };
}

/** Asks for the job again at once, such as after a command on it. */
export const reloadJob = (id: string): void => void loaded.invalidateQueries({ queryKey: keyOf(id) });

/** The job as it is now, for as long as the page shows it; undefined until the first word of it. */
export function useJob(
  id: string,
  onJob: (job: BatchJob) => void = () => {},
): { job: BatchJob | undefined; refusal: Refusal | undefined; isGone: boolean } {
  const [isGone, setGone] = useState(false);
  const { data, refusal, isStale } = useLoad(keyOf(id), (signal) => loadJob(id, signal));
  const job = isStale ? undefined : data;
  const isLive = job === undefined || !hasEnded(job);
  // By a clock of its own: that of the cache begins anew with each word of the stream, and would never come to its end.
  useEffect(() => {
    if (!isLive) return;
    const refresh = setInterval(() => {
      if (document.visibilityState === "visible") {
        void loaded.refetchQueries({ queryKey: keyOf(id) }, { cancelRefetch: false });
      }
    }, refreshMs);
    return () => clearInterval(refresh);
  }, [id, isLive]);
  const isThere = job !== undefined;
  useEffect(() => {
    if (!isThere) return;
    const stop = new AbortController();
    const take = (next: BatchJob) => {
      onJob(next);
      loaded.setQueryData<BatchJob>(keyOf(id), (before) => later(before, next));
    };
    watchJobs([id], { onJob: take, onGone: () => setGone(true) }, stop.signal);
    return () => stop.abort();
  }, [id, isThere]);
  return { job, refusal, isGone: isGone || refusal?.reason === "job_not_found" };
}
