import { type BatchJob, BatchJobCommand } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../../data/service/client.ts";
import { type Call, callOf } from "../../../ui/form/as-curl.tsx";
import { counted } from "../../../ui/format/numbers.ts";
import { startWords } from "../../../ui/format/wall-time.ts";
import { openIn } from "../../../ui/format/words.ts";
import type { Command, CommandRequest } from "./use-command.ts";

const methods = BatchJobService.method;

/** Everything there is to know of a command on a job: what its button says, and what is asked before it is sent. */
export type CommandRow = {
  readonly command: BatchJobCommand;
  readonly label: string;
  readonly look: "primary" | "danger" | "";
  readonly send: Command["send"];
  /** The same, to be shown. */
  readonly call: (request: CommandRequest) => Call;
  /** Sent at one click without it. */
  readonly ask?: {
    readonly title: string;
    readonly yes: string;
    readonly no: string;
    /** What will happen, in the job's own figures; `toCall` are those who are open, without who is never called. */
    readonly sentences: (job: BatchJob, toCall: number) => string[];
    /** Whether the plan of the run is shown, too. */
    readonly hasPlan?: boolean;
  };
  /** The page of the job is left for the list. */
  readonly isEnd?: boolean;
};

const people = (count: number): string => counted(count, "person", "people");

const insteadOf = (job: BatchJob): string[] =>
  job.scheduledJobId === "" ? [] : [`It starts now instead of ${startWords(job)}.`];

const willNotStart = ({ scheduledJobId }: BatchJob): string[] =>
  scheduledJobId === "" ? [] : ["It will not start at its time."];

const limitOf = ({ concurrentCallLimit }: BatchJob): string =>
  `at most ${counted(concurrentCallLimit, "call")} at once`;

function whatCancelDoes(job: BatchJob): string[] {
  const open = openIn(job.counts);
  const dialing = job.counts?.dialing ?? 0;
  return [
    ...willNotStart(job),
    `${counted(open, "contact")} that ${open === 1 ? "is" : "are"} still open will not be called any more.`,
    ...(dialing > 0
      ? [`${counted(dialing, "call")} in progress will end by themselves and be recorded.`]
      : []),
    "A cancelled job cannot be started again.",
  ];
}

export const commandTable: readonly CommandRow[] = [
  {
    command: BatchJobCommand.START,
    label: "Start now",
    look: "primary",
    send: (request) => service.startBatchJob(request),
    call: (request) => callOf(methods.startBatchJob, request),
    ask: {
      title: "Start this job now?",
      yes: "Start the calls",
      no: "Not now",
      sentences: (job, toCall) => [`${people(toCall)} will be called, ${limitOf(job)}.`, ...insteadOf(job)],
      hasPlan: true,
    },
  },
  {
    command: BatchJobCommand.RESUME,
    label: "Resume",
    look: "primary",
    send: (request) => service.resumeBatchJob(request),
    call: (request) => callOf(methods.resumeBatchJob, request),
    ask: {
      title: "Resume this job?",
      yes: "Go on with the calls",
      no: "Leave it paused",
      sentences: (job, toCall) => [
        openIn(job.counts) === 0
          ? "Nobody is left to be called: the job ends by this."
          : `${people(toCall)} ${toCall === 1 ? "is" : "are"} left to be called, ${limitOf(job)}.`,
      ],
      hasPlan: true,
    },
  },
  {
    command: BatchJobCommand.PAUSE,
    label: "Pause",
    look: "",
    send: (request) => service.pauseBatchJob(request),
    call: (request) => callOf(methods.pauseBatchJob, request),
  },
  {
    command: BatchJobCommand.CANCEL,
    label: "Cancel job",
    look: "danger",
    send: (request) => service.cancelBatchJob(request),
    call: (request) => callOf(methods.cancelBatchJob, request),
    ask: {
      title: "Cancel this job?",
      yes: "Cancel the job",
      no: "Keep the job",
      sentences: whatCancelDoes,
    },
  },
  {
    command: BatchJobCommand.DELETE,
    label: "Delete",
    look: "danger",
    async send(request) {
      await service.deleteBatchJob(request);
      return { message: "Deleted" };
    },
    call: (request) => callOf(methods.deleteBatchJob, request),
    ask: {
      title: "Delete this job?",
      yes: "Delete the job",
      no: "Keep the job",
      sentences: (job) => [
        ...willNotStart(job),
        `The job, its ${counted(job.counts?.total ?? 0, "contact")} and the history of their calls will be gone for good.`,
      ],
    },
    isEnd: true,
  },
];
