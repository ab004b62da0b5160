import { useEffect, useRef, useState } from "preact/hooks";
import { type BatchJob, BatchJobCommand } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { service } from "../../../data/service/client.ts";
import { say } from "../../../data/page/flash.ts";
import { href, navigate } from "../../../data/page/route.ts";
import { reloadJob } from "../../../data/load/use-job.ts";
import { type CommandRow, commandTable } from "./command-table.ts";
import { ConfirmDialog } from "./confirm-dialog.tsx";
import { CurlDialog } from "./curl-dialog.tsx";
import css from "../job.module.css";
import { OutcomeNotice } from "./outcome-notice.tsx";
import { RescheduleDialog } from "./reschedule-dialog.tsx";
import { type Command, useCommand } from "./use-command.ts";

/** The open dialog, and the job as it was when it was opened: that is what the viewer decides on. */
type Open = { readonly row: CommandRow | "reschedule" | "curl"; readonly seen: BatchJob };

const isHarmless = ({ look }: CommandRow): boolean => look !== "danger";

/** The commands that the service says are allowed now, to this caller; nothing else is ever offered. */
export function Commands({ job }: { job: BatchJob }) {
  const { run, outcome, isBusy, forget } = useCommand();
  const [open, setOpen] = useState<Open>();
  const notice = useRef<HTMLDivElement>(null);
  const allowed = new Set(job.allowedCommands);
  const close = () => setOpen(undefined);
  // The button that was pressed may be there no more.
  useEffect(() => {
    if (outcome !== undefined && open === undefined) notice.current?.focus();
  }, [outcome, open]);

  const isOutOfDate = outcome?.kind === "done" && !outcome.statuses.includes(job.status);
  useEffect(() => {
    if (isOutOfDate) forget();
  }, [isOutOfDate]);

  function press(row: Open["row"]): void {
    if (isBusy) return;
    forget();
    if (typeof row === "string" || row.ask !== undefined) setOpen({ row, seen: job });
    else void send(row, job);
  }

  async function send(row: CommandRow, seen: BatchJob): Promise<void> {
    const { name } = job;
    const next = await run({ words: row.label, send: row.send }, seen);
    close();
    if (row.isEnd === true && (next?.kind === "done" || next?.kind === "gone")) {
      say(`“${name}” was deleted.`);
      return navigate(href(["jobs"]));
    }
    reloadJob(job.batchJobId);
  }

  async function reschedule(wanted: { scheduledStartTime: string; timezone: string }, seen: BatchJob) {
    const command: Command = {
      words: `reschedule ${wanted.scheduledStartTime} ${wanted.timezone}`,
      send: (request) => service.rescheduleBatchJob({ ...request, ...wanted }),
    };
    const next = await run(command, seen);
    if (next?.kind === "done" || next?.kind === "gone") close();
    reloadJob(job.batchJobId);
  }

  const button = (row: CommandRow) =>
    allowed.has(row.command) && (
      <button
        key={row.label}
        type="button"
        class={row.look}
        aria-disabled={isBusy}
        onClick={() => press(row)}
      >
        {row.label}
      </button>
    );
  return (
    <>
      {allowed.size > 0 && (
        <div class="actions" role="group" aria-label="Commands">
          {commandTable.filter(isHarmless).map(button)}
          {allowed.has(BatchJobCommand.RESCHEDULE) && (
            <button type="button" aria-disabled={isBusy} onClick={() => press("reschedule")}>
              {job.scheduledJobId === "" ? "Schedule" : "Reschedule"}
            </button>
          )}
          {allowed.has(BatchJobCommand.ADD_CONTACTS) && (
            <a class="button" href={href(["jobs", job.batchJobId, "add"])}>
              Add contacts
            </a>
          )}
          {commandTable.filter((row) => !isHarmless(row)).map(button)}
          <button type="button" class="plain" onClick={() => press("curl")}>
            As curl
          </button>
        </div>
      )}
      {outcome !== undefined && open === undefined && (
        <div class={css.wholeLine} ref={notice} tabIndex={-1}>
          <OutcomeNotice outcome={outcome} />
        </div>
      )}
      {open?.row === "reschedule" && (
        <RescheduleDialog
          job={job}
          seen={open.seen}
          isBusy={isBusy}
          outcome={outcome}
          onClose={close}
          onSubmit={(wanted, seen) => void reschedule(wanted, seen)}
        />
      )}
      {open?.row === "curl" && <CurlDialog job={job} onClose={close} />}
      {open !== undefined && typeof open.row !== "string" && (
        <Asking row={open.row} job={job} seen={open.seen} isBusy={isBusy} onClose={close} onYes={send} />
      )}
    </>
  );
}

function Asking(props: {
  row: CommandRow;
  job: BatchJob;
  seen: BatchJob;
  isBusy: boolean;
  onClose: () => void;
  onYes: (row: CommandRow, seen: BatchJob) => Promise<void>;
}) {
  const { row, onYes, ...rest } = props;
  if (row.ask === undefined) return null;
  return (
    <ConfirmDialog
      {...rest}
      ask={row.ask}
      command={row.command}
      look={row.look}
      onConfirm={(seen) => void onYes(row, seen)}
    />
  );
}
