import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { Fact } from "../../../ui/figure/fact.tsx";
import css from "../../../ui/figure/facts.module.css";
import { StartTime } from "../../../ui/figure/start-time.tsx";
import { dateOf, duration, exactTime, msOf, viewerZone } from "../../../ui/format/times.ts";
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const Moment = ({ at }: { at: Timestamp | undefined }) => {
  const date = dateOf(at);
  if (date === undefined) return <span class="quiet">Not yet</span>;
  return (
    <time dateTime={date.toISOString()}>
      {exactTime(date, viewerZone)} <span class="quiet">your time</span>
    </time>
  );
};

export const ScheduleCard = ({ job }: { job: BatchJob }) => (
  <section class="card" aria-labelledby="schedule-title">
    <h2 id="schedule-title">Schedule</h2>
    <dl class={css.facts}>
      <Fact name="Scheduled start">
        <StartTime job={job} />
      </Fact>
      {job.requestedStartTime !== "" && (
        <Fact name="As asked for">
          <span class="code">{job.requestedStartTime}</span> <span class="quiet">{job.timezone}</span>
        </Fact>
      )}
      <Fact name="Started">
        <Moment at={job.startedAt} />
      </Fact>
      {job.startLag !== undefined && (
        <Fact name="How late it started">{duration(msOf(job.startLag))} after its time</Fact>
      )}
      <Fact name="Ended">
        <Moment at={job.finishedAt} />
      </Fact>
      {job.estimatedFinishAt !== undefined && (
        <Fact name="About done">
          <Moment at={job.estimatedFinishAt} />
        </Fact>
      )}
      {job.endAt !== undefined && (
        <Fact name="Ends at the latest">
          <Moment at={job.endAt} />
        </Fact>
      )}
      <Fact name="Created">
        <Moment at={job.createdAt} />
      </Fact>
      <Fact name="Job id">
        <span class="code">{job.batchJobId}</span>
      </Fact>
    </dl>
  </section>
);
