import { type Signal, signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import type { ListBatchJobsResponse } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../data/service/client.ts";
import type { Refusal } from "../../data/service/refusal.ts";
import { watchJobs } from "../../data/stream/watch.ts";
import { loaded, useLoad } from "../../data/load/use-load.ts";
import { type ListAddress, addressOf, filterOf } from "./address.ts";

export type LivePage = { readonly rows: readonly Row[]; readonly nextPageToken: string };
export type Row = { readonly id: string; readonly job: Signal<BatchJob> };

/**
 * Jobs come as fast as the stream brings them; the screen follows at this pace: a longer list, whose lines are laid out
 * together, at a slower one, so that none takes much of a machine.
 */
const paintMs = (rows: number): number => Math.max(250, 2 * rows);

/** How long until the list itself is asked for again, for jobs that are new, gone, or in another status by now. */
const refreshMs = (answer: ListBatchJobsResponse | undefined): number =>
  Math.max(5_000, 60 * (answer?.batchJobs.length ?? 0));

/**
 * One page of jobs. Its rows follow the jobs by the stream; the list is asked for again from time to time. `page` stays
 * what it was while the next is on its way.
 */
export function useLivePage(address: ListAddress): {
  page: LivePage | undefined;
  refusal: Refusal | undefined;
  isStale: boolean;
} {
  const { data, refusal, isStale } = useLoad(
    ["jobs", addressOf(address)],
    (stop) => service.listBatchJobs(requestOf(address), { signal: stop }),
    refreshMs,
  );
  const known = useRef(new Map<string, Signal<BatchJob>>());
  const page = useMemo(() => data && pageOf(data, known.current), [data]);
  const ids = page?.rows.map(({ id }) => id) ?? [];
  useEffect(() => follow(ids, known.current), [ids.join()]);
  return { page, refusal, isStale };
}

const requestOf = (address: ListAddress) => ({
  ...filterOf(address),
  pageSize: address.pageSize,
  pageToken: address.trail.at(-1) ?? "",
});

function pageOf(answer: ListBatchJobsResponse, known: Map<string, Signal<BatchJob>>): LivePage {
  const rows = answer.batchJobs.map((job) => ({ id: job.batchJobId, job: updated(known, job) }));
  const ids = new Set(rows.map(({ id }) => id));
  for (const id of known.keys()) if (!ids.has(id)) known.delete(id);
  return { rows, nextPageToken: answer.nextPageToken };
}

/** The job's own signal, which its row listens to; an answer that is older than what is shown changes nothing. */
function updated(known: Map<string, Signal<BatchJob>>, job: BatchJob): Signal<BatchJob> {
  const shown = known.get(job.batchJobId) ?? signal(job);
  known.set(job.batchJobId, shown);
  if (job.revision >= shown.value.revision) shown.value = job;
  return shown;
}

/** Asks for the list, and for how many there are, at once. */
export const relist = (): void => void loaded.invalidateQueries({ queryKey: ["jobs"] });

/** Brings what the stream says to the rows, all that has come meanwhile at once; answers how to end that. */
function follow(ids: readonly string[], known: Map<string, Signal<BatchJob>>): () => void {
  if (ids.length === 0) return () => {};
  const stop = new AbortController();
  const waiting = new Map<string, BatchJob>();
  const paint = setInterval(() => {
    for (const job of waiting.values()) if (known.has(job.batchJobId)) updated(known, job);
    waiting.clear();
  }, paintMs(ids.length));
  stop.signal.addEventListener("abort", () => clearInterval(paint));
  watchJobs(ids, { onJob: (job) => waiting.set(job.batchJobId, job), onGone: relist }, stop.signal);
  return () => stop.abort();
}
