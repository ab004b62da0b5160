import type { BatchJob } from "../../gen/callsheet/v1/batch_job_pb.ts";
import { city, dateOf, dayAndTime, inViewerZone, viewerZone } from "./format/times.ts";

/** The start time asked for, as clocks in the job's zone show it and as the viewer's do. */
export function StartTime({ job }: { job: BatchJob }) {
  const at = dateOf(job.scheduledStartTime);
  if (at === undefined) return <span class="quiet">Not scheduled</span>;
  return (
    <time class="two-lines" dateTime={at.toISOString()}>
      <span>
        {dayAndTime(at, job.timezone)} <span class="quiet">{city(job.timezone)}</span>
      </span>
      <span class="quiet">
        {job.timezone === viewerZone
          ? "the same as your time"
          : `${inViewerZone(at, job.timezone)} your time`}
      </span>
    </time>
  );
}
