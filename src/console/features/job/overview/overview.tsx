import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { hasEnded } from "../../../data/load/use-job.ts";
import { ScheduleCard } from "./facts.tsx";
import { Figures } from "./figures.tsx";
import { callsPerMinute, useHistory } from "./history.ts";
import { Holds } from "./holds.tsx";
import css from "../job.module.css";
import { OutcomesCard } from "./outcomes-card.tsx";
import { PlanCard } from "./plan.tsx";
import { ProgressCard } from "./progress-card.tsx";

/** How the job goes on, and why it does not. */
export function Overview({ job }: { job: BatchJob }) {
  const history = useHistory(job);
  return (
    <>
      {job.description !== "" && (
        <p class={css.description} dir="auto">
          {job.description}
        </p>
      )}
      <Figures job={job} perMinute={hasEnded(job) ? undefined : callsPerMinute(history)} />
      {!hasEnded(job) && <Holds job={job} />}
      <div class={css.columns}>
        <ProgressCard job={job} history={history} />
        {job.counts && <OutcomesCard job={job} counts={job.counts} />}
      </div>
      <div class="halves">
        <ScheduleCard job={job} />
        {!hasEnded(job) && <PlanCard job={job} />}
      </div>
    </>
  );
}
