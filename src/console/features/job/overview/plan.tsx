import { useState } from "preact/hooks";
import type { BatchJob } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import type { PlanBatchJobResponse } from "../../../../gen/callsheet/v1/plan_pb.ts";
import { count } from "../../../ui/format/numbers.ts";
import { dateOf, dayAndTime, duration, viewerZone } from "../../../ui/format/times.ts";
import { Field } from "../../../ui/form/field.tsx";
import { Loading } from "../../../ui/page/notice.tsx";
import { sentencesOf } from "../../../ui/format/plan-words.ts";
import { usePlan, usualCallSeconds } from "../../../data/load/use-plan.ts";
import css from "./plan.module.css";

/** The plan as part of what a command will do. */
export function PlanSentences({ plan, job }: { plan: PlanBatchJobResponse | undefined; job: BatchJob }) {
  if (plan === undefined) return <li class="quiet">About how long that takes is being reckoned …</li>;
  return (
    <>
      {sentencesOf(plan, usualCallSeconds, job).map((sentence) => (
        <li key={sentence}>{sentence}</li>
      ))}
    </>
  );
}

const callLengths = [30, 60, 120, 180, 300, 600] as const;

/** What the run comes to, before its start and while it goes on. */
export function PlanCard({ job }: { job: BatchJob }) {
  const [callSeconds, setCallSeconds] = useState<number>(usualCallSeconds);
  const plan = usePlan(job, { callSeconds, from: "its time" });
  return (
    <section class="card" aria-labelledby="plan-title">
      <h2 id="plan-title">Plan</h2>
      <Field id="call-length" label="If a call lasts">
        <select
          id="call-length"
          value={callSeconds}
          onChange={(event) => setCallSeconds(Number(event.currentTarget.value))}
        >
          {callLengths.map((seconds) => (
            <option key={seconds} value={seconds}>
              {duration(seconds * 1_000)}
            </option>
          ))}
        </select>
      </Field>
      {plan === undefined ? <Loading what="the plan" /> : <Planned {...{ plan, callSeconds, job }} />}
    </section>
  );
}

const shownHours = 48;

function Planned(props: { plan: PlanBatchJobResponse; callSeconds: number; job: BatchJob }) {
  const { plan } = props;
  const sentences = sentencesOf(plan, props.callSeconds, props.job);
  if (sentences.length === 0) return <p class="quiet">Nobody is left to be called.</p>;
  const hours = plan.hours.slice(0, shownHours);
  const most = Math.max(1, ...hours.map(({ calls }) => calls));
  return (
    <>
      {sentences.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      <table class={css.plan}>
        <caption class="hint">
          Calls that begin in each hour
          {plan.hours.length > shownHours ? `, the first ${shownHours} hours` : ""}
        </caption>
        <thead class="unseen">
          <tr>
            <th scope="col">From</th>
            <th scope="col">Calls</th>
          </tr>
        </thead>
        <tbody>
          {hours.map(({ from, calls }) => (
            <tr key={String(from?.seconds)}>
              <th scope="row">{dayAndTime(dateOf(from) ?? new Date(0), viewerZone)}</th>
              <td>
                <span class={css.bar} aria-hidden="true">
                  <span style={{ width: `${(100 * calls) / most}%` }} />
                </span>
                {count(calls)}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
