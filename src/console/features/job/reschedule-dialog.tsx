import { useState } from "preact/hooks";
import { Dialog } from "../../ui/dialog.tsx";
import { type Picked, StartTimePicker, asRequest } from "../../ui/start-time-picker.tsx";
import { readStartTime } from "../../ui/format/start-time.ts";
import { dateOf, viewerZone } from "../../ui/format/times.ts";
import { type BatchJob, BatchJobCommand } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { firstPick } from "./first-pick.ts";
import { OutcomeNotice } from "./outcome-notice.tsx";
import { useSeen } from "./seen.tsx";
import type { Outcome } from "./use-command.ts";

export function RescheduleDialog(props: {
  job: BatchJob;
  seen: BatchJob;
  isBusy: boolean;
  outcome: Outcome | undefined;
  onClose: () => void;
  onSubmit: (wanted: { scheduledStartTime: string; timezone: string }, seen: BatchJob) => void;
}) {
  const { job, outcome } = props;
  const { seen, hasChanged, notice } = useSeen(props.seen, job);
  const scheduledStartTime = dateOf(props.seen.scheduledStartTime);
  const [picked, setPicked] = useState<Picked>(() =>
    scheduledStartTime ? firstPick(scheduledStartTime, props.seen.timezone) : tomorrowMorning(),
  );
  const isAllowed = job.allowedCommands.includes(BatchJobCommand.RESCHEDULE);
  const isRead = readStartTime(picked.date, picked.time, picked.zone, new Date()).kind === "instant";
  const isOff = hasChanged || !isAllowed || !isRead || props.isBusy;
  return (
    <Dialog
      title={seen.scheduledJobId === "" ? "Schedule the start" : "Reschedule the start"}
      onClose={props.onClose}
    >
      <form
        class="stack"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (!isOff) props.onSubmit(asRequest(picked), seen);
        }}
      >
        <StartTimePicker picked={picked} onPick={setPicked} />
        {notice}
        {!isAllowed && (
          <p class="problem">The service no longer allows this: the job has started or ended.</p>
        )}
        {outcome !== undefined && outcome.kind !== "done" && <OutcomeNotice outcome={outcome} />}
        <div class="actions">
          <button type="button" onClick={props.onClose}>
            Leave as it is
          </button>
          <button type="submit" class="primary" aria-disabled={isOff}>
            {seen.scheduledJobId === "" ? "Schedule" : "Reschedule"}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function tomorrowMorning(): Picked {
  const tomorrow = firstPick(new Date(Date.now() + 24 * 60 * 60 * 1000), viewerZone);
  return { ...tomorrow, time: "09:00" };
}
