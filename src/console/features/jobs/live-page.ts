import { type Signal, signal } from "@preact/signals";
import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { ListBatchJobsResponse } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../data/service/client.ts";
import type { Refusal } from "../../data/service/refusal.ts";
import { watchJobs } from "../../data/stream/watch.ts";
import { loaded, useLoad } from "../../data/load/use-load.ts";
import { type ListAddress, addressOf, filterOf } from "./address.ts";

export type LivePage = { readonly rows: readonly Row[]; readonly nextPageToken: string };
export type Row = { readonly id: string; readonly job: Signal<BatchJob> };

/** What is to be known of the rows that are shown, whichever page they are of. */
type Known = {
  /** The job's own signal, which its row listens to. */
  readonly jobs: Map<string, Signal<BatchJob>>;
  /** The rows that are on the screen, or nearly. */
  readonly seen: Set<string>;
  /** What the stream has told of the others. */
  readonly waiting: Map<string, BatchJob>;
};

/**
 * Rows that nobody sees are drawn together, so often: a page of 1,000 that all change would take much of a machine. Who
 * scrolls to one sees it as it is.
 */
const unseenMs = 10_000;

/** How long until the list itself is asked for again, for jobs that are new, gone, or in another status by now. */
const refreshMs = (answer: ListBatchJobsResponse | undefined): number =>
  Math.max(5_000, 60 * (answer?.batchJobs.length ?? 0));

/**
 * One page of jobs. Its rows follow the jobs by the stream; the list is asked for again from time to time. `page` stays
 * what it was while the next is on its way. `onSeen` takes which rows are on the screen.
 */
export function useLivePage(address: ListAddress): {
  page: LivePage | undefined;
  refusal: Refusal | undefined;
  isStale: boolean;
  onSeen: (id: string, isSeen: boolean) => void;
} {
  const { data, refusal, isStale } = useLoad(
    ["jobs", addressOf(address)],
    (stop) => service.listBatchJobs(requestOf(address), { signal: stop }),
    refreshMs,
  );
  const [known] = useState<Known>(() => ({ jobs: new Map(), seen: new Set(), waiting: new Map() }));
  const page = useMemo(() => data && pageOf(data, known), [data]);
  const ids = page?.rows.map(({ id }) => id) ?? [];
  useEffect(() => follow(ids, known), [ids.join()]);
  const onSeen = useCallback((id: string, isSeen: boolean) => {
    if (!isSeen) return void known.seen.delete(id);
    known.seen.add(id);
    const job = known.waiting.get(id);
    if (job !== undefined) update(known, job);
  }, []);
  return { page, refusal, isStale, onSeen };
}

const requestOf = (address: ListAddress) => ({
  ...filterOf(address),
  pageSize: address.pageSize,
  pageToken: address.trail.at(-1) ?? "",
});

function pageOf(answer: ListBatchJobsResponse, known: Known): LivePage {
  const rows = answer.batchJobs.map((job) => ({ id: job.batchJobId, job: update(known, job) }));
  const ids = new Set(rows.map(({ id }) => id));
  for (const id of known.jobs.keys()) if (!ids.has(id)) known.jobs.delete(id);
  return { rows, nextPageToken: answer.nextPageToken };
}

/** Tells the row of its job; an answer that is older than what is shown changes nothing. */
function update({ jobs, waiting }: Known, job: BatchJob): Signal<BatchJob> {
  const shown = jobs.get(job.batchJobId) ?? signal(job);
  jobs.set(job.batchJobId, shown);
  waiting.delete(job.batchJobId);
  if (job.revision >= shown.value.revision) shown.value = job;
  return shown;
}

/** Asks for the list, and for how many there are, at once. */
export const relist = (): void => void loaded.invalidateQueries({ queryKey: ["jobs"] });

/** Brings what the stream says to the rows; answers how to end that. */
function follow(ids: readonly string[], known: Known): () => void {
  if (ids.length === 0) return () => {};
  const stop = new AbortController();
  const { jobs, seen, waiting } = known;
  const drawing = setInterval(() => {
    for (const job of waiting.values()) update(known, job);
  }, unseenMs);
  const onJob = (job: BatchJob) => {
    if (!jobs.has(job.batchJobId)) return;
    if (seen.has(job.batchJobId)) update(known, job);
    else waiting.set(job.batchJobId, job);
  };
  stop.signal.addEventListener("abort", () => {
    clearInterval(drawing);
    waiting.clear();
  });
  watchJobs(ids, { onJob, onGone: relist }, stop.signal);
  return () => stop.abort();
}
