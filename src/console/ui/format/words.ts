import { Role } from "../../../gen/callsheet/v1/options_pb.ts";
import {
  BatchJobStatus,
  type ContactCounts,
  ContactStatus,
  Outcome,
} from "../../../gen/callsheet/v1/batch_job_pb.ts";

export const jobStatusWords: ReadonlyMap<number, string> = new Map([
  [BatchJobStatus.PENDING, "Pending"],
  [BatchJobStatus.SCHEDULED, "Scheduled"],
  [BatchJobStatus.RUNNING, "Running"],
  [BatchJobStatus.PAUSED, "Paused"],
  [BatchJobStatus.COMPLETED, "Completed"],
  [BatchJobStatus.FAILED, "Failed"],
  [BatchJobStatus.CANCELLED, "Cancelled"],
]);

/** Everything there is to say about a final status of contacts: what it is called, and where its count stands. */
export type Ending = {
  readonly key: Exclude<keyof ContactCounts, "$typeName" | "$unknown">;
  readonly status: ContactStatus;
  /** None for the contacts that were not called to an end: their job has ended, or their phone is suppressed. */
  readonly outcome?: Outcome;
  readonly word: string;
};

export const endings: readonly Ending[] = [
  { key: "completed", status: ContactStatus.COMPLETED, outcome: Outcome.COMPLETED, word: "Completed" },
  { key: "voicemail", status: ContactStatus.VOICEMAIL, outcome: Outcome.VOICEMAIL, word: "Voicemail" },
  { key: "noAnswer", status: ContactStatus.NO_ANSWER, outcome: Outcome.NO_ANSWER, word: "No answer" },
  { key: "busy", status: ContactStatus.BUSY, outcome: Outcome.BUSY, word: "Busy" },
  { key: "timeout", status: ContactStatus.TIMEOUT, outcome: Outcome.TIMEOUT, word: "Timeout" },
  {
    key: "invalidNumber",
    status: ContactStatus.INVALID_NUMBER,
    outcome: Outcome.INVALID_NUMBER,
    word: "Invalid number",
  },
  { key: "blocked", status: ContactStatus.BLOCKED, outcome: Outcome.BLOCKED, word: "Blocked" },
  {
    key: "carrierError",
    status: ContactStatus.CARRIER_ERROR,
    outcome: Outcome.CARRIER_ERROR,
    word: "Carrier error",
  },
  { key: "failed", status: ContactStatus.FAILED, outcome: Outcome.FAILED, word: "Failed" },
  { key: "unknown", status: ContactStatus.UNKNOWN, outcome: Outcome.UNKNOWN, word: "Unknown" },
  { key: "suppressed", status: ContactStatus.SUPPRESSED, word: "Never-call list" },
  { key: "expired", status: ContactStatus.EXPIRED, word: "Job ended first" },
  { key: "cancelled", status: ContactStatus.CANCELLED, word: "Cancelled" },
];

export const contactStatusWords: ReadonlyMap<number, string> = new Map([
  [ContactStatus.PENDING, "Not called yet"],
  [ContactStatus.DIALING, "Calling"],
  [ContactStatus.WAITING_RETRY, "Waiting to retry"],
  ...endings.map(({ status, word }) => [status, word] as const),
]);

export const outcomeWords: ReadonlyMap<number, string> = new Map(
  endings.flatMap(({ outcome, word }) => (outcome === undefined ? [] : [[outcome, word] as const])),
);

/** How many contacts are final. */
export const final = (counts: ContactCounts): number =>
  counts.total - counts.pending - counts.waitingRetry - counts.dialing;

/** How many contacts are to be called, for the first time or again. */
export const openIn = (counts: ContactCounts | undefined): number =>
  (counts?.pending ?? 0) + (counts?.waitingRetry ?? 0);

/** How many contacts came to their own end; those that the end of their job cut off did not. */
export const finished = (counts: ContactCounts): number => final(counts) - counts.cancelled - counts.expired;

export const failureReasonWords: Readonly<Record<string, string>> = {
  no_contacts: "Its time came while it had no contacts.",
  start_missed: "It was not started in time.",
  no_call_completed: "No call was completed.",
};

export const roleWords: ReadonlyMap<Role, string> = new Map([
  [Role.ADMIN, "admin"],
  [Role.OPERATOR, "operator"],
  [Role.VIEWER, "viewer"],
  [Role.WORKER, "worker"],
]);
