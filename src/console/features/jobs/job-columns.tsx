import type { Signal } from "@preact/signals";
import type { ContactCounts } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { href } from "../../data/page/route.ts";
import { JobBadge } from "../../ui/figure/badge.tsx";
import type { Column } from "../../ui/table/data-table.tsx";
import { count, share } from "../../ui/format/numbers.ts";
import { finished } from "../../ui/format/words.ts";
import { JobProgress } from "../../ui/figure/progress.tsx";
import { StartTime } from "../../ui/figure/start-time.tsx";
import { type ListAddress, addressOf, firstPage } from "./address.ts";
import { labelWords, withLabel } from "./filters.tsx";
import css from "./jobs.module.css";
import type { Row } from "./rows.ts";
import { type Selection, isSelected, toggle } from "./selection.ts";

const counter = (title: string, countOf: (counts: ContactCounts) => number): Column<Row> => ({
  title,
  isNumber: true,
  cell({ job: { value: job } }) {
    const value = job.counts === undefined ? 0 : countOf(job.counts);
    return value === 0 ? <span class="quiet">0</span> : count(value);
  },
});

/** What is shown of each job. */
export const jobColumns = (address: ListAddress): readonly Column<Row>[] => [
  {
    title: "Name",
    look: css.name,
    cell: ({ id, job: { value: job } }) => (
      <>
        <a href={href(["jobs", id])} dir="auto">
          {job.name}
        </a>
        <Labels labels={job.labels} address={address} />
      </>
    ),
  },
  { title: "Status", look: css.status, cell: ({ job }) => <JobBadge status={job.value.status} /> },
  {
    title: "Progress",
    look: css.howFar,
    cell: ({ job: { value: job } }) => job.counts && <HowFar counts={job.counts} />,
  },
  { title: "Scheduled start", look: css.start, cell: ({ job }) => <StartTime job={job.value} /> },
  counter("Contacts", ({ total }) => total),
  counter("Completed", ({ completed }) => completed),
  counter("Calling", ({ dialing }) => dialing),
  counter("To retry", ({ waitingRetry }) => waitingRetry),
];

/** The labels of a job; each leads to the jobs that have it, too. */
function Labels({ labels, address }: { labels: Record<string, string>; address: ListAddress }) {
  const all = Object.entries(labels);
  if (all.length === 0) return null;
  return (
    <span class={css.labels}>
      {all.map((label) => (
        <a
          key={label[0]}
          dir="auto"
          href={addressOf({ ...firstPage(address), labels: withLabel(address.labels, label) })}
        >
          {labelWords(label)}
        </a>
      ))}
    </span>
  );
}

/** A box before each job, for whoever may send commands. */
export const pickColumn = (selected: Signal<Selection>, seen: readonly string[]): Column<Row> => ({
  title: "Select",
  isTitleUnseen: true,
  look: css.pick,
  cell: (row) => <Pick row={row} selected={selected} seen={seen} />,
});

/** Draws itself alone when the selection changes. */
function Pick(props: { row: Row; selected: Signal<Selection>; seen: readonly string[] }) {
  const { row, selected, seen } = props;
  return (
    <label>
      <input
        type="checkbox"
        aria-label={`Select ${row.job.value.name}`}
        checked={isSelected(selected.value, row.id)}
        onChange={() => toggle(selected, row.id, seen)}
      />
    </label>
  );
}

const HowFar = ({ counts }: { counts: ContactCounts }) => (
  <>
    <JobProgress counts={counts} />
    <span class={css.share}>{share(finished(counts), counts.total)}</span>
  </>
);
