import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { href } from "../../../data/page/route.ts";
import { type Column, DataTable, stacking, wrapping } from "../../../ui/table/data-table.tsx";
import { count, counted } from "../../../ui/format/numbers.ts";
import { dayAndTime, viewerZone } from "../../../ui/format/times.ts";
import { Notice } from "../../../ui/page/notice.tsx";
import { PlainProgress } from "../../../ui/figure/progress.tsx";
import { StartTime } from "../../../ui/figure/start-time.tsx";
import css from "./bulk.module.css";
import type { Told } from "./moving.ts";

type Stage = "trying" | "tried" | "moving" | "moved" | "stopped";

/** More rows than this nobody reads; those that are refused come first. */
const mostRows = 200;

/** What comes of it for each job, or came. */
export function MovedTable(props: { stage: Stage; told: readonly Told[]; jobs: readonly BatchJob[] }) {
  const { stage, told } = props;
  const known = new Map(props.jobs.map((job) => [job.batchJobId, job]));
  const refused = told.filter(({ why }) => why !== undefined);
  const moved = told.filter(({ why }) => why === undefined);
  const isGoing = stage === "trying" || stage === "moving";
  const rows = isGoing ? [] : [...refused, ...moved].slice(0, mostRows);
  const columns: readonly Column<Told>[] = [
    {
      title: "Job",
      look: wrapping,
      cell: ({ batchJobId }) => (
        <a href={href(["jobs", batchJobId])} target="_blank" dir="auto">
          {known.get(batchJobId)?.name ?? batchJobId}
        </a>
      ),
    },
    {
      title: "Start before",
      cell({ batchJobId }) {
        const job = known.get(batchJobId);
        return job && <StartTime job={job} />;
      },
    },
    {
      title: "Start, your time",
      look: wrapping,
      cell: ({ at, why }) =>
        at === undefined ? <span class="problem">{why}</span> : dayAndTime(at, viewerZone),
    },
  ];
  return (
    <>
      {isGoing ? (
        <>
          <p role="status">
            {stage === "trying" ? "Asking what would come of it" : "Rescheduling"}: {count(told.length)} of{" "}
            {counted(known.size, "job")}
          </p>
          <PlainProgress label="Jobs done" value={told.length} max={Math.max(known.size, told.length)} />
        </>
      ) : (
        <Notice tone={refused.length > 0 || stage === "stopped" ? "warning" : "good"}>
          {stage === "stopped" && <p>Stopped. What was done by then is done:</p>}
          <p>
            {counted(moved.length, "job")}
            {stage === "tried" && " would be"} rescheduled
            {refused.length > 0 && `, ${counted(refused.length, "job")} refused`}.
          </p>
        </Notice>
      )}
      {rows.length > 0 && (
        <div class={css.scroll}>
          <DataTable
            caption="Jobs and their new starts"
            look={stacking}
            columns={columns}
            rows={rows}
            keyOf={({ batchJobId }) => batchJobId}
          />
        </div>
      )}
      {!isGoing && told.length > rows.length && (
        <p class="hint">
          The first {counted(rows.length, "job")}; there are {count(told.length)}.
        </p>
      )}
    </>
  );
}
