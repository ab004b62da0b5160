import type { ContactCounts } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { JobBadge } from "../../ui/badge.tsx";
import { JobProgress } from "../../ui/progress.tsx";
import { StartTime } from "../../ui/start-time.tsx";
import { count, share } from "../../ui/format/numbers.ts";
import { finished } from "../../ui/format/words.ts";
import { href } from "../../data/route.ts";
import type { Row } from "./live-page.ts";

/** Draws itself again when its own job changes, and only then. */
export function JobRow({ row }: { row: Row }) {
  const job = row.job.value;
  return (
    <tr role="row">
      <td role="cell" class="name">
        <a href={href(["jobs", row.id])} dir="auto">
          {job.name}
        </a>
      </td>
      <td role="cell" class="status">
        <JobBadge status={job.status} />
      </td>
      <td role="cell" class="how-far">
        {job.counts && <HowFar counts={job.counts} />}
      </td>
      <td role="cell" class="start">
        <StartTime job={job} />
      </td>
      <Count label="Contacts" value={job.counts?.total} />
      <Count label="Completed" value={job.counts?.completed} />
      <Count label="Calling" value={job.counts?.dialing} />
      <Count label="To retry" value={job.counts?.waitingRetry} />
    </tr>
  );
}

const HowFar = ({ counts }: { counts: ContactCounts }) => (
  <>
    <JobProgress counts={counts} />
    <span class="share">{share(finished(counts), counts.total)}</span>
  </>
);

const Count = ({ label, value = 0 }: { label: string; value: number | undefined }) => (
  <td role="cell" class={value === 0 ? "number quiet" : "number"} data-label={label}>
    {count(value)}
  </td>
);
