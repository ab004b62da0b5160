import type { BatchJob, BatchJobCommand } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { Dialog } from "../../../ui/form/dialog.tsx";
import type { CommandRow } from "./command-table.ts";
import css from "../job.module.css";
import { PlanSentences } from "../overview/plan.tsx";
import { useSeen } from "./seen.tsx";

/** Asks once, and says what will happen. */
export function ConfirmDialog(props: {
  ask: NonNullable<CommandRow["ask"]>;
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
        {ask.sentences(job).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
        {ask.hasPlan === true && <PlanSentences job={job} />}
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
