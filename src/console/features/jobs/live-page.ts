import { useEffect, useMemo, useState } from "preact/hooks";
import type { ListBatchJobsResponse } from "../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../data/service/client.ts";
import type { Refusal } from "../../data/service/refusal.ts";
import { watchJobs } from "../../data/stream/watch.ts";
import { loaded, useLoad } from "../../data/load/use-load.ts";
import { type ListAddress, addressOf, filterOf } from "./address.ts";
import { type Row, createRows } from "./rows.ts";

export type LivePage = { readonly rows: readonly Row[]; readonly nextPageToken: string };

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
  const [shown] = useState(createRows);
  const page = useMemo<LivePage | undefined>(
    () => data && { rows: shown.rowsOf(data.batchJobs), nextPageToken: data.nextPageToken },
    [data],
  );
  const ids = page?.rows.map(({ id }) => id) ?? [];
  useEffect(() => follow(ids, shown), [ids.join()]);
  return { page, refusal, isStale, onSeen: shown.onSeen };
}

const requestOf = (address: ListAddress) => ({
  ...filterOf(address),
  pageSize: address.pageSize,
  pageToken: address.trail.at(-1) ?? "",
});

/** Asks for the list, and for how many there are, at once. */
export const relist = (): void => void loaded.invalidateQueries({ queryKey: ["jobs"] });

/** Brings what the stream says to the rows; answers how to end that. */
function follow(
  ids: readonly string[],
  { hear, catchUp, forget }: ReturnType<typeof createRows>,
): () => void {
  if (ids.length === 0) return () => {};
  const stop = new AbortController();
  const drawing = setInterval(catchUp, unseenMs);
  stop.signal.addEventListener("abort", () => {
    clearInterval(drawing);
    forget();
  });
  watchJobs(ids, { onJob: hear, onGone: relist }, stop.signal);
  return () => stop.abort();
}
