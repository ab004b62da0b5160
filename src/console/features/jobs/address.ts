import { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { readTrail } from "../../ui/pager.tsx";
import { jobStatusWords } from "../../ui/format/words.ts";
import { href } from "../../data/route.ts";
import type { Query } from "./live-page.ts";

export const pageSizes = [50, 250, 1000] as const;

/** What the address says of the list: its filters, and the pages gone through so far. */
export type ListAddress = {
  readonly statuses: readonly BatchJobStatus[];
  readonly search: string;
  readonly pageSize: number;
  readonly trail: readonly string[];
};

const wordOf = (status: BatchJobStatus): string => (jobStatusWords.get(status) ?? "").toLowerCase();

export function readAddress(query: URLSearchParams): ListAddress {
  const words = (query.get("status") ?? "").split(",");
  const size = Number(query.get("size"));
  return {
    statuses: [...jobStatusWords.keys()].filter((status): status is BatchJobStatus =>
      words.includes(wordOf(status as BatchJobStatus)),
    ),
    search: query.get("search") ?? "",
    pageSize: pageSizes.find((known) => known === size) ?? pageSizes[0],
    trail: readTrail(query.get("page")),
  };
}

export const addressOf = ({ statuses, search, pageSize, trail }: ListAddress): string =>
  href(["jobs"], {
    status: statuses.map(wordOf).join(","),
    search,
    size: pageSize === pageSizes[0] ? "" : String(pageSize),
    page: trail.join(","),
  });

export const queryOf = ({ statuses, search, pageSize, trail }: ListAddress): Query => ({
  statuses,
  nameContains: search,
  pageSize,
  pageToken: trail.at(-1) ?? "",
});
