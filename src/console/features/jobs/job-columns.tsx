import type { ContactCounts } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { href } from "../../data/route.ts";
import { JobBadge } from "../../ui/badge.tsx";
import type { Column } from "../../ui/data-table.tsx";
import { count, share } from "../../ui/format/numbers.ts";
import { finished } from "../../ui/format/words.ts";
import { JobProgress } from "../../ui/progress.tsx";
import { StartTime } from "../../ui/start-time.tsx";
import type { Row } from "./live-page.ts";

const counter = (title: string, countOf: (counts: ContactCounts) => number): Column<Row> => ({
  title,
  isNumber: true,
  cell({ job: { value: job } }) {
    const value = job.counts === undefined ? 0 : countOf(job.counts);
    return value === 0 ? <span class="quiet">0</span> : count(value);
  },
});

/** What is shown of each job. */
export const jobColumns: readonly Column<Row>[] = [
  {
    title: "Name",
    look: "name",
    cell: ({ id, job: { value: job } }) => (
      <a href={href(["jobs", id])} dir="auto">
        {job.name}
      </a>
    ),
  },
  { title: "Status", look: "status", cell: ({ job }) => <JobBadge status={job.value.status} /> },
  {
    title: "Progress",
    look: "how-far",
    cell: ({ job: { value: job } }) => job.counts && <HowFar counts={job.counts} />,
  },
  { title: "Scheduled start", look: "start", cell: ({ job }) => <StartTime job={job.value} /> },
  counter("Contacts", ({ total }) => total),
  counter("Completed", ({ completed }) => completed),
  counter("Calling", ({ dialing }) => dialing),
  counter("To retry", ({ waitingRetry }) => waitingRetry),
];

const HowFar = ({ counts }: { counts: ContactCounts }) => (
  <>
    <JobProgress counts={counts} />
    <span class="share">{share(finished(counts), counts.total)}</span>
  </>
);
