import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { wrongField } from "../../domain/batch-job-error.ts";
import type {
  BatchJobFilter,
  TimeRange as ProtoTimeRange,
} from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import type { JobFilter, TimeRange } from "../../jobs/batch-jobs.ts";
import { readStatuses } from "./convert.ts";

/** Times are kept in whole milliseconds: one that lies between two begins with the later one. */
const dateFrom = ({ seconds, nanos }: Timestamp): Date =>
  new Date(Number(seconds) * 1000 + Math.ceil(nanos / 1e6));

function readRange(field: string, range: ProtoTimeRange | undefined): TimeRange {
  const { from, to } = range ?? {};
  const read = { from: from && dateFrom(from), to: to && dateFrom(to) };
  const isEmpty =
    from !== undefined &&
    to !== undefined &&
    (from.seconds > to.seconds || (from.seconds === to.seconds && from.nanos >= to.nanos));
  if (!isEmpty) return read;
  throw wrongField(`${field}.to`, `it must be later than ${field}.from`);
}

/** What a filter of a request means; `inside` is what stands before the names of its fields. */
export const readFilter = (
  filter: Omit<BatchJobFilter, "$typeName" | "$unknown">,
  inside = "",
): JobFilter => ({
  statuses: readStatuses(filter.statuses),
  nameContains: filter.nameContains,
  labels: filter.labels,
  created: readRange(`${inside}created`, filter.created),
  scheduledStartTime: readRange(`${inside}scheduled_start_time`, filter.scheduledStartTime),
  finishedAt: readRange(`${inside}finished_at`, filter.finishedAt),
});
