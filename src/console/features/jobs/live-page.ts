import { type Signal, signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { service } from "../../data/client.ts";
import { pauseBefore, waitFor } from "../../data/connection.ts";
import { type Refusal, refusalOf } from "../../data/refusal.ts";
import { untilSeen } from "../../data/visibility.ts";
import { watchJobs } from "../../data/watch.ts";
import type { BatchJob, BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";

export type Query = {
  readonly statuses: readonly BatchJobStatus[];
  readonly nameContains: string;
  readonly pageSize: number;
  readonly pageToken: string;
};

export type LivePage = { readonly rows: readonly Row[]; readonly nextPageToken: string };
export type Row = { readonly id: string; readonly job: Signal<BatchJob> };

/** Jobs come as fast as the stream brings them; the screen follows at this pace. */
const paintMs = 250;

/** How long until the list itself is asked for again, for jobs that are new, gone, or in another status by now. */
const refreshMs = (rows: number): number => Math.max(5_000, 60 * rows);

/**
 * One page of jobs. Its rows follow the jobs by one stream; the list is asked for again from time to time. `page` stays
 * what it was while the next is on its way.
 */
export function useLivePage(query: Query): {
  page: LivePage | undefined;
  refusal: Refusal | undefined;
  isStale: boolean;
} {
  const [page, setPage] = useState<LivePage>();
  const [refusal, setRefusal] = useState<Refusal>();
  const [isStale, setStale] = useState(true);

  useEffect(() => {
    const stop = new AbortController();
    setStale(true);
    const show = (next: LivePage | Refusal): void => {
      if (stop.signal.aborted) return;
      setStale(false);
      if ("rows" in next) setPage(next);
      setRefusal("rows" in next ? undefined : next);
    };
    void keepListed(query, show, stop.signal);
    return () => stop.abort();
  }, [JSON.stringify(query)]);

  return { page, refusal, isStale };
}

async function keepListed(
  query: Query,
  show: (next: LivePage | Refusal) => void,
  until: AbortSignal,
): Promise<void> {
  let watching = { ids: "", stop: new AbortController() };
  until.addEventListener("abort", () => watching.stop.abort());
  const known = new Map<string, Signal<BatchJob>>();

  for (let failures = 0; !until.aborted;) {
    try {
      const answer = await service.listBatchJobs(
        { ...query, statuses: [...query.statuses] },
        { signal: until },
      );
      if (until.aborted) return;
      failures = 0;
      const rows = answer.batchJobs.map((job) => ({ id: job.batchJobId, job: updated(known, job) }));
      show({ rows, nextPageToken: answer.nextPageToken });
      const ids = rows.map(({ id }) => id);
      if (watching.ids !== ids.join() || watching.stop.signal.aborted) {
        watching.stop.abort();
        watching = { ids: ids.join(), stop: new AbortController() };
        if (ids.length > 0) void follow(ids, known, watching.stop);
      }
      // A job that is gone ends the watching: the list tells which one it was.
      await waitFor(refreshMs(rows.length), AbortSignal.any([until, watching.stop.signal]));
      await untilSeen(until);
    } catch (error) {
      const refusal = refusalOf(error);
      if (until.aborted) return;
      if (!refusal.isPassing) return show(refusal);
      await pauseBefore(failures++, until);
    }
  }
}

/** The job's own signal, which its row listens to; an answer that is older than what is shown changes nothing. */
function updated(known: Map<string, Signal<BatchJob>>, job: BatchJob): Signal<BatchJob> {
  const shown = known.get(job.batchJobId) ?? signal(job);
  known.set(job.batchJobId, shown);
  if (job.revision >= shown.value.revision) shown.value = job;
  return shown;
}

/** Brings what the stream says to the rows, all that has come in `paintMs` at once. Stops itself if a job is gone. */
async function follow(
  ids: string[],
  known: Map<string, Signal<BatchJob>>,
  stop: AbortController,
): Promise<void> {
  const waiting = new Map<string, BatchJob>();
  const paint = setInterval(() => {
    for (const job of waiting.values()) updated(known, job);
    waiting.clear();
  }, paintMs);
  await watchJobs(
    ids,
    { onJob: (job) => waiting.set(job.batchJobId, job), onRefused: () => stop.abort() },
    stop.signal,
  );
  clearInterval(paint);
}
