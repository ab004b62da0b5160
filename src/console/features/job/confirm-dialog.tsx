import { Dialog } from "../../ui/dialog.tsx";
import { counted } from "../../ui/format/numbers.ts";
import { type BatchJob, BatchJobCommand } from "../../../gen/callsheet/v1/batch_job_pb.ts";
import { useSeen } from "./seen.tsx";

type Kind = "cancel" | "delete";

const command = { cancel: BatchJobCommand.CANCEL, delete: BatchJobCommand.DELETE } as const;
const title = { cancel: "Cancel this job?", delete: "Delete this job?" } as const;
const yes = { cancel: "Cancel the job", delete: "Delete the job" } as const;
const no = { cancel: "Keep the job", delete: "Keep the job" } as const;

/** Asks once, and says what will happen. */
export function ConfirmDialog(props: {
  kind: Kind;
  job: BatchJob;
  seen: BatchJob;
  isBusy: boolean;
  onClose: () => void;
  onConfirm: (seen: BatchJob) => void;
}) {
  const { kind, job } = props;
  const { seen, hasChanged, notice } = useSeen(props.seen, job);
  const isAllowed = job.allowedCommands.includes(command[kind]);
  const isOff = hasChanged || !isAllowed || props.isBusy;
  return (
    <Dialog title={title[kind]} onClose={props.onClose}>
      <p dir="auto">
        <strong>{job.name}</strong>
      </p>
      <ul class="what-happens">
        {(kind === "cancel" ? whatCancelDoes(job) : whatDeleteDoes(job)).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      {notice}
      {!isAllowed && <p class="problem">The service no longer allows this.</p>}
      <div class="actions">
        <button type="button" onClick={props.onClose}>
          {no[kind]}
        </button>
        <button
          type="button"
          class="danger"
          aria-disabled={isOff}
          onClick={() => {
            if (!isOff) props.onConfirm(seen);
          }}
        >
          {yes[kind]}
        </button>
      </div>
    </Dialog>
  );
}

function whatCancelDoes({ counts, scheduledJobId }: BatchJob): string[] {
  const open = (counts?.pending ?? 0) + (counts?.waitingRetry ?? 0);
  const dialing = counts?.dialing ?? 0;
  return [
    ...(scheduledJobId === "" ? [] : ["It will not start at its time."]),
    `${counted(open, "contact")} that ${open === 1 ? "is" : "are"} still open will not be called any more.`,
    ...(dialing > 0
      ? [`${counted(dialing, "call")} in progress will end by themselves and be recorded.`]
      : []),
    "A cancelled job cannot be started again.",
  ];
}

const whatDeleteDoes = ({ counts, scheduledJobId }: BatchJob): string[] => [
  ...(scheduledJobId === "" ? [] : ["It will not start at its time."]),
  `The job, its ${counted(counts?.total ?? 0, "contact")} and the history of their calls will be gone for good.`,
];
