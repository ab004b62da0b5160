import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { href } from "../../data/page/route.ts";
import { jobStatusWords } from "../../ui/format/words.ts";
import { readTrail } from "../../ui/table/pager.tsx";

export const pageSizes = [50, 250, 1000] as const;

/** What happened on the days that are asked for. */
export const dayWords = { start: "Scheduled start", created: "Created", finished: "Ended" } as const;
export type DayOf = keyof typeof dayWords;

export type Label = readonly [key: string, value: string];

/** Which jobs are meant. Days are those of this computer's clock, as YYYY-MM-DD; an empty one leaves its side open. */
export type Filter = {
  readonly statuses: readonly BatchJobStatus[];
  readonly search: string;
  readonly labels: readonly Label[];
  readonly dayOf: DayOf | "";
  readonly from: string;
  readonly to: string;
};

/** What the address says of the list: its filters, and the pages gone through so far. */
export type ListAddress = Filter & {
  readonly pageSize: number;
  readonly trail: readonly string[];
};

const wordOf = (status: BatchJobStatus): string => (jobStatusWords.get(status) ?? "").toLowerCase();

const isDayOf = (word: string): word is DayOf => Object.hasOwn(dayWords, word);

const dayIn = (text: string | null): string => /^\d{4}-\d\d-\d\d$/.exec(text ?? "")?.[0] ?? "";

export function readAddress(query: URLSearchParams): ListAddress {
  const words = (query.get("status") ?? "").split(",");
  const size = Number(query.get("size"));
  const dayOf = query.get("day") ?? "";
  return {
    statuses: [...jobStatusWords.keys()].filter((status): status is BatchJobStatus =>
      words.includes(wordOf(status as BatchJobStatus)),
    ),
    search: query.get("search") ?? "",
    labels: [...new URLSearchParams(query.get("labels") ?? "")],
    ...(isDayOf(dayOf)
      ? { dayOf, from: dayIn(query.get("from")), to: dayIn(query.get("to")) }
      : { dayOf: "", from: "", to: "" }),
    pageSize: pageSizes.find((known) => known === size) ?? pageSizes[0],
    trail: readTrail(query.get("page")),
  };
}

export const addressOf = (address: ListAddress): string =>
  href(["jobs"], {
    status: address.statuses.map(wordOf).join(","),
    search: address.search,
    labels: new URLSearchParams(address.labels.map(([key, value]) => [key, value])).toString(),
    day: address.dayOf,
    from: address.from,
    to: address.to,
    size: address.pageSize === pageSizes[0] ? "" : String(address.pageSize),
    page: address.trail.join(","),
  });

/** The same list, from its first page. */
export const firstPage = (address: ListAddress): ListAddress => ({ ...address, trail: [] });

/** Whether it leaves any job out. */
export const isFiltered = ({ statuses, search, labels, dayOf }: Filter): boolean =>
  statuses.length > 0 || search !== "" || labels.length > 0 || dayOf !== "";

/** The beginning of a day by this computer's clock, or of the one after. */
function midnight(day: string, { after = 0 }: { after?: number } = {}) {
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(day) ?? [];
  if (year === undefined) return undefined;
  return timestampFromDate(new Date(Number(year), Number(month) - 1, Number(date) + after));
}

function rangeOf({ from, to }: Filter) {
  const [first, end] = [midnight(from), midnight(to, { after: 1 })];
  return { ...(first && { from: first }), ...(end && { to: end }) };
}

/** The filter as the service takes it, of whichever RPC. */
export function filterOf(filter: Filter) {
  const { statuses, search, labels, dayOf } = filter;
  return {
    statuses: [...statuses],
    nameContains: search,
    labels: Object.fromEntries(labels),
    ...(dayOf === "created" && { created: rangeOf(filter) }),
    ...(dayOf === "start" && { scheduledStartTime: rangeOf(filter) }),
    ...(dayOf === "finished" && { finishedAt: rangeOf(filter) }),
  };
}
