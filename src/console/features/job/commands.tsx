import { useState } from "preact/hooks";
import { service } from "../../data/client.ts";
import { type BatchJob, BatchJobCommand } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { say } from "../../data/flash.ts";
import { href, navigate } from "../../data/route.ts";
import { ConfirmDialog } from "./confirm-dialog.tsx";
import { OutcomeNotice } from "./outcome-notice.tsx";
import { RescheduleDialog } from "./reschedule-dialog.tsx";
import { type Command, useCommand } from "./use-command.ts";

const start: Command = { words: "start", send: (request) => service.startBatchJob(request) };
const pause: Command = { words: "pause", send: (request) => service.pauseBatchJob(request) };
const resume: Command = { words: "resume", send: (request) => service.resumeBatchJob(request) };
const cancel: Command = { words: "cancel", send: (request) => service.cancelBatchJob(request) };
const remove: Command = {
  words: "delete",
  send: async (request) => {
    await service.deleteBatchJob(request);
    return { message: "Deleted" };
  },
};

type DialogName = "reschedule" | "cancel" | "delete";

/** The commands that the service says are allowed now, to this caller; nothing else is ever offered. */
export function Commands({ job }: { job: BatchJob }) {
  const { run, outcome, isBusy, forget } = useCommand();
  /** The open dialog, and the job as it was when it was opened: that is what the viewer decides on. */
  const [open, setOpen] = useState<{ name: DialogName; seen: BatchJob }>();
  const allowed = new Set(job.allowedCommands);
  const close = () => setOpen(undefined);
  const openDialog = (name: DialogName) => {
    if (isBusy) return;
    forget();
    setOpen({ name, seen: job });
  };
  const closeAfter = async (command: Command, seen: BatchJob) => {
    await run(command, seen);
    close();
  };
  const runDelete = async (command: Command, seen: BatchJob) => {
    const name = job.name;
    const next = await run(command, seen);
    close();
    if (next?.kind !== "done" && next?.kind !== "gone") return;
    say(`“${name}” was deleted.`);
    navigate(href(["jobs"]));
  };

  const button = (command: Command, label: string, look = "") => (
    <button type="button" class={look} aria-disabled={isBusy} onClick={() => void run(command, job)}>
      {label}
    </button>
  );
  return (
    <>
      {allowed.size > 0 && (
        <div class="actions" role="group" aria-label="Commands">
          {allowed.has(BatchJobCommand.START) && button(start, "Start now", "primary")}
          {allowed.has(BatchJobCommand.RESUME) && button(resume, "Resume", "primary")}
          {allowed.has(BatchJobCommand.PAUSE) && button(pause, "Pause")}
          {allowed.has(BatchJobCommand.RESCHEDULE) && (
            <button type="button" aria-disabled={isBusy} onClick={() => openDialog("reschedule")}>
              {job.scheduledJobId === "" ? "Schedule" : "Reschedule"}
            </button>
          )}
          {allowed.has(BatchJobCommand.ADD_CONTACTS) && (
            <a class="button" href={href(["jobs", job.batchJobId, "add"])}>
              Add contacts
            </a>
          )}
          {allowed.has(BatchJobCommand.CANCEL) && (
            <button type="button" class="danger" aria-disabled={isBusy} onClick={() => openDialog("cancel")}>
              Cancel job
            </button>
          )}
          {allowed.has(BatchJobCommand.DELETE) && (
            <button type="button" class="danger" aria-disabled={isBusy} onClick={() => openDialog("delete")}>
              Delete
            </button>
          )}
        </div>
      )}
      {outcome !== undefined && open === undefined && (
        <div class="whole-line">
          <OutcomeNotice outcome={outcome} />
        </div>
      )}
      {open?.name === "cancel" && (
        <ConfirmDialog
          kind="cancel"
          job={job}
          seen={open.seen}
          isBusy={isBusy}
          onClose={close}
          onConfirm={(seen) => void closeAfter(cancel, seen)}
        />
      )}
      {open?.name === "delete" && (
        <ConfirmDialog
          kind="delete"
          job={job}
          seen={open.seen}
          isBusy={isBusy}
          onClose={close}
          onConfirm={(seen) => void runDelete(remove, seen)}
        />
      )}
      {open?.name === "reschedule" && (
        <RescheduleDialog
          job={job}
          seen={open.seen}
          isBusy={isBusy}
          outcome={outcome}
          onClose={close}
          onSubmit={async (wanted, seen) => {
            const command: Command = {
              words: `reschedule ${wanted.scheduledStartTime} ${wanted.timezone}`,
              send: (request) => service.rescheduleBatchJob({ ...request, ...wanted }),
            };
            const next = await run(command, seen);
            if (next?.kind === "done" || next?.kind === "gone") close();
          }}
        />
      )}
    </>
  );
}
