import { type BatchJob, BatchJobStatus } from "../../../../gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../../../gen/callsheet/v1/batch_job_service_pb.ts";
import { service } from "../../../data/service/client.ts";
import type { Calling } from "../../../ui/form/as-curl.tsx";
import { count, counted } from "../../../ui/format/numbers.ts";
import { openIn } from "../../../ui/format/words.ts";
import { callingEach } from "./for-each.ts";

/** What every command on a job is sent with. */
type Request = { batchJobId: string; requestId: string; expectedRevision: bigint };

/** Everything there is to know of a command on many jobs. */
export type BulkRow = {
  readonly title: (jobs: string) => string;
  readonly yes: (jobs: string) => string;
  readonly no: string;
  readonly look: "primary" | "danger";
  /** The statuses in which a job takes it. */
  readonly statuses: readonly BatchJobStatus[];
  /** What there is to be said of the jobs that do not. */
  readonly others: string;
  /** What will happen, in the jobs' own figures. */
  readonly sentences: (jobs: readonly BatchJob[]) => string[];
  readonly send: (request: Request) => Promise<unknown>;
  /** The same to each of them, as a shell gives it. */
  readonly calling: (jobs: readonly BatchJob[]) => Calling;
  /** What has become of them. */
  readonly done: string;
};

const { PENDING, SCHEDULED, RUNNING, PAUSED } = BatchJobStatus;

type Counts = NonNullable<BatchJob["counts"]>;

const sum = (jobs: readonly BatchJob[], countOf: (counts: Counts) => number): number =>
  jobs.reduce((all, { counts }) => all + (counts === undefined ? 0 : countOf(counts)), 0);

const openInAll = (jobs: readonly BatchJob[]): number => sum(jobs, openIn);

const people = (number: number): string => counted(number, "person", "people");

function inProgress(jobs: readonly BatchJob[]): string[] {
  const dialing = sum(jobs, (counts) => counts.dialing);
  if (dialing === 0) return [];
  return [`${counted(dialing, "call")} in progress will end by themselves and be recorded.`];
}

export const bulkTable = {
  pause: {
    title: (jobs) => `Pause ${jobs}?`,
    yes: (jobs) => `Pause ${jobs}`,
    no: "Leave them running",
    look: "primary",
    statuses: [RUNNING],
    others: "Only running jobs can be paused.",
    sentences: (jobs) => [
      `${people(openInAll(jobs))} will not be called until the jobs are resumed.`,
      ...inProgress(jobs),
    ],
    send: (request) => service.pauseBatchJob(request),
    calling: (jobs) => callingEach(jobs, BatchJobService.method.pauseBatchJob, (each) => each),
    done: "paused",
  },
  resume: {
    title: (jobs) => `Resume ${jobs}?`,
    yes: (jobs) => `Resume ${jobs}`,
    no: "Leave them paused",
    look: "primary",
    statuses: [PAUSED],
    others: "Only paused jobs can be resumed.",
    sentences: (jobs) => [
      `${people(openInAll(jobs))} will be called, at most ${count(
        jobs.reduce((all, { concurrentCallLimit }) => all + concurrentCallLimit, 0),
      )} at once over all of these jobs.`,
    ],
    send: (request) => service.resumeBatchJob(request),
    calling: (jobs) => callingEach(jobs, BatchJobService.method.resumeBatchJob, (each) => each),
    done: "resumed",
  },
  cancel: {
    title: (jobs) => `Cancel ${jobs}?`,
    yes: (jobs) => `Cancel ${jobs}`,
    no: "Keep them",
    look: "danger",
    statuses: [PENDING, SCHEDULED, RUNNING, PAUSED],
    others: "A job that has ended cannot be cancelled.",
    sentences: (jobs) => [
      `${people(openInAll(jobs))} will not be called any more.`,
      ...inProgress(jobs),
      "A cancelled job cannot be started again.",
    ],
    send: (request) => service.cancelBatchJob(request),
    calling: (jobs) => callingEach(jobs, BatchJobService.method.cancelBatchJob, (each) => each),
    done: "cancelled",
  },
} as const satisfies Record<string, BulkRow>;

export type BulkCommand = keyof typeof bulkTable;
