import type { BatchJobStatus } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../data/service/client.ts";
import { useLoad } from "../../data/load/use-load.ts";
import { count } from "../../ui/format/numbers.ts";
import { type Filter, type ListAddress, addressOf, filterOf, firstPage } from "./address.ts";

const refreshMs = 5_000;

export type Counted = { readonly count: number; readonly isAtLeast: boolean };
/** By status; undefined until that is known. */
export type Counts = ReadonlyMap<BatchJobStatus, Counted> | undefined;

/** How many jobs the filters let through, whichever statuses are chosen. */
export function useCounts(address: ListAddress): Counts {
  const filter: ListAddress = { ...firstPage(address), statuses: [], pageSize: 0 };
  const { data } = useLoad(
    ["jobs", "counts", addressOf(filter)],
    (signal) => service.countBatchJobs({ filter: filterOf(filter) }, { signal }),
    () => refreshMs,
  );
  return data && new Map(data.counts.map((each) => [each.status, each]));
}

/** All of these statuses together; of all there are where none is named. */
export function total(counts: NonNullable<Counts>, { statuses }: Pick<Filter, "statuses">): Counted {
  const counted = [...counts].filter(([status]) => statuses.length === 0 || statuses.includes(status));
  return {
    count: counted.reduce((sum, [, each]) => sum + each.count, 0),
    isAtLeast: counted.some(([, { isAtLeast }]) => isAtLeast),
  };
}

/** "1,234", or "10,000+" where there may be more. */
export const countWords = (counted: Counted): string =>
  `${count(counted.count)}${counted.isAtLeast ? "+" : ""}`;
