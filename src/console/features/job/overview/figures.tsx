import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { JobProgress } from "../../../ui/figure/progress.tsx";
import { count, share } from "../../../ui/format/numbers.ts";
import { finished } from "../../../ui/format/words.ts";
import css from "./figures.module.css";

/** Where the contacts of the job are now. */
export function Figures(props: { job: BatchJob; perMinute: number | undefined }) {
  const { job } = props;
  const { counts } = job;
  if (counts === undefined) return null;
  const done = finished(counts);
  return (
    <section class="card" aria-label="Where the contacts are now">
      <dl class={css.figures}>
        <Figure name="Contacts" value={count(counts.total)} />
        <Figure name="Finished" value={count(done)} detail={share(done, counts.total)} />
        <Figure
          name="Completed"
          value={count(counts.completed)}
          detail={share(counts.completed, counts.total)}
        />
        <Figure
          name="Calling"
          value={count(counts.dialing)}
          detail={`limit ${count(job.concurrentCallLimit)}`}
        />
        <Figure name="Waiting to retry" value={count(counts.waitingRetry)} />
        <Figure name="Not called yet" value={count(counts.pending)} />
        {counts.cancelled > 0 && <Figure name="Cancelled" value={count(counts.cancelled)} />}
        {counts.expired > 0 && <Figure name="Job ended first" value={count(counts.expired)} />}
        {props.perMinute !== undefined && (
          <Figure name="Calls a minute" value={count(Math.round(props.perMinute))} detail="ended" />
        )}
      </dl>
      <JobProgress counts={counts} />
    </section>
  );
}

const Figure = ({ name, value, detail }: { name: string; value: string; detail?: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>
      {value} {detail !== undefined && <span class="quiet">{detail}</span>}
    </dd>
  </div>
);
