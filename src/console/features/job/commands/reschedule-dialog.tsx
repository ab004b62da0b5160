import { useState } from "preact/hooks";
import { type BatchJob, BatchJobCommand } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { type Picked, asRequest, nothingPicked, useReading } from "../../../data/load/use-reading.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { AsCurl, callOf } from "../../../ui/form/as-curl.tsx";
import { Dialog } from "../../../ui/form/dialog.tsx";
import { dateOf, viewerZone } from "../../../ui/format/times.ts";
import { wallParts } from "../../../ui/format/wall-time.ts";
import { StartTimePicker } from "../../../ui/form/start-time-picker.tsx";
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
  const [picked, setPicked] = useState<Picked>(() => firstPick(props.seen));
  const reading = useReading(picked);
  const isAllowed = job.allowedCommands.includes(BatchJobCommand.RESCHEDULE);
  const isOff = hasChanged || !isAllowed || reading.kind !== "read" || props.isBusy;
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
        <StartTimePicker picked={picked} reading={reading} onPick={setPicked} />
        {notice}
        {!isAllowed && (
          <p class="problem">The service no longer allows this: the job has started or ended.</p>
        )}
        {outcome !== undefined && outcome.kind !== "done" && <OutcomeNotice outcome={outcome} />}
        <AsCurl
          call={(requestId) =>
            callOf(BatchJobService.method.rescheduleBatchJob, {
              batchJobId: job.batchJobId,
              requestId,
              expectedRevision: seen.revision,
              ...asRequest(picked),
            })
          }
        />
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

/** The time that the job has, in the words that it was given in; one that was given with an offset in UTC. */
function firstPick({ requestedStartTime, scheduledStartTime, timezone }: BatchJob): Picked {
  const parts = wallParts(requestedStartTime);
  if (parts !== undefined) return { ...parts, zone: timezone };
  const at = dateOf(scheduledStartTime)?.toISOString().slice(0, 19);
  const inUtc = at === undefined ? undefined : wallParts(at);
  return inUtc === undefined ? nothingPicked(viewerZone) : { ...inUtc, zone: "UTC" };
}
