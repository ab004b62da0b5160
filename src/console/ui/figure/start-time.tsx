import type { BatchJob } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { city, dateOf, dayAndTime, viewerZone } from "../format/times.ts";
import { wallParts, wallTime } from "../format/wall-time.ts";
import css from "./start-time.module.css";

/**
 * The start time asked for: in the job's zone in the very words that the service took, which no zone data of the
 * browser's has a part in, and as this computer's clock will show it.
 */
export function StartTime({ job }: { job: BatchJob }) {
  const at = dateOf(job.scheduledStartTime);
  if (at === undefined) return <span class="quiet">Not scheduled</span>;
  const isWallTime = wallParts(job.requestedStartTime) !== undefined;
  return (
    <time class={css.twoLines} dateTime={at.toISOString()}>
      <span>
        {wallTime(isWallTime ? job.requestedStartTime : at.toISOString())}{" "}
        {isWallTime && <span class="quiet">{city(job.timezone)}</span>}
      </span>
      <span class="quiet">
        {job.timezone === viewerZone && isWallTime
          ? "the same as your time"
          : `${dayAndTime(at, viewerZone)} your time`}
      </span>
    </time>
  );
}
