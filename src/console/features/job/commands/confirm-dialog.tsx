import type { BatchJob, BatchJobCommand } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { Dialog } from "../../../ui/form/dialog.tsx";
import { usePlan, usualCallSeconds } from "../../../data/load/use-plan.ts";
import { neverCalledIn } from "../../../ui/format/plan-words.ts";
import { openIn } from "../../../ui/format/words.ts";
import type { CommandRow } from "./command-table.ts";
import css from "../job.module.css";
import { PlanSentences } from "../overview/plan.tsx";
import { useSeen } from "./seen.tsx";

type Ask = NonNullable<CommandRow["ask"]>;

const Sentences = ({ of }: { of: readonly string[] }) => (
  <>
    {of.map((sentence) => (
      <li key={sentence}>{sentence}</li>
    ))}
  </>
);

function WithPlan({ ask, job }: { ask: Ask; job: BatchJob }) {
  const plan = usePlan(job, { callSeconds: usualCallSeconds, from: "now" });
  return (
    <>
      <Sentences of={ask.sentences(job, openIn(job.counts) - neverCalledIn(plan))} />
      <PlanSentences plan={plan} job={job} />
    </>
  );
}

/** Asks once, and says what will happen. */
export function ConfirmDialog(props: {
  ask: Ask;
  command: BatchJobCommand;
  look: CommandRow["look"];
  job: BatchJob;
  seen: BatchJob;
  isBusy: boolean;
  onClose: () => void;
  onConfirm: (seen: BatchJob) => void;
}) {
  const { ask, job } = props;
  const { seen, hasChanged, notice } = useSeen(props.seen, job);
  const isAllowed = job.allowedCommands.includes(props.command);
  const isOff = hasChanged || !isAllowed || props.isBusy;
  return (
    <Dialog title={ask.title} onClose={props.onClose}>
      <p dir="auto">
        <strong>{job.name}</strong>
      </p>
      <ul class={css.whatHappens}>
        {ask.hasPlan === true ? (
          <WithPlan ask={ask} job={job} />
        ) : (
          <Sentences of={ask.sentences(job, openIn(job.counts))} />
        )}
      </ul>
      {notice}
      {!isAllowed && <p class="problem">The service no longer allows this.</p>}
      <div class="actions">
        <button type="button" onClick={props.onClose}>
          {ask.no}
        </button>
        <button
          type="button"
          class={props.look}
          aria-disabled={isOff}
          onClick={() => {
            if (!isOff) props.onConfirm(seen);
          }}
        >
          {ask.yes}
        </button>
      </div>
    </Dialog>
  );
}
