import { BatchJobError } from "../batch-job-error.ts";
import {
  type ContactStatus,
  type Outcome,
  type StoredContactStatus,
  openContactStatuses,
} from "../contacts/contact.ts";
import type { CallingHours } from "../time/hours.ts";

export const jobStatuses = [
  "pending",
  "scheduled",
  "running",
  "paused",
  "completed",
  "failed",
  "cancelled",
] as const;

export type JobStatus = (typeof jobStatuses)[number];

/** A status, `stays` or `gone` says what becomes of the job; the other words refuse. */
type Verdict =
  JobStatus | "stays" | "gone" | "already_running" | "invalid_status" | "already_terminal" | "not_updatable";

/**
 * What each command makes of a job in each status: the one table that code, errors, documents and tests read.
 *
 * What lies outside it: a job without contacts cannot be started (`no_contacts`; when its time comes it fails, and so
 * does one whose time has been missed), a job of which a contact is dialing cannot be deleted (`invalid_status`), a
 * running job may pause itself, a paused one go on by itself, a job with nothing open ends by being resumed, and one
 * whose end has come is as if it had ended.
 */
// prettier-ignore
export const stateTable = {
  //               pending            scheduled          running             paused             completed            failed               cancelled
  start:        [ "running",         "running",         "already_running",  "invalid_status",  "invalid_status",    "invalid_status",    "invalid_status"],
  reschedule:   [ "scheduled",       "scheduled",       "invalid_status",   "invalid_status",  "invalid_status",    "invalid_status",    "invalid_status"],
  pause:        [ "invalid_status",  "invalid_status",  "paused",           "invalid_status",  "invalid_status",    "invalid_status",    "invalid_status"],
  resume:       [ "invalid_status",  "invalid_status",  "invalid_status",   "running",         "invalid_status",    "invalid_status",    "invalid_status"],
  cancel:       [ "cancelled",       "cancelled",       "cancelled",        "cancelled",       "already_terminal",  "already_terminal",  "already_terminal"],
  delete:       [ "gone",            "gone",            "invalid_status",   "gone",            "gone",              "gone",              "gone"],
  add_contacts: [ "stays",           "stays",           "stays",            "stays",           "already_terminal",  "already_terminal",  "already_terminal"],
  update:       [ "stays",           "stays",           "stays",            "stays",           "not_updatable",     "not_updatable",     "not_updatable"],
} as const satisfies Record<string, readonly Verdict[]>;

export type Command = keyof typeof stateTable;

export const commands = Object.keys(stateTable) as Command[];

const refusals: ReadonlySet<Verdict> = new Set([
  "already_running",
  "invalid_status",
  "already_terminal",
  "not_updatable",
]);

const verdictOf = (command: Command, status: JobStatus): Verdict =>
  stateTable[command][jobStatuses.indexOf(status)] ?? "invalid_status";

/** The statuses in which the command is allowed. */
export const allowedStatuses = (command: Command): JobStatus[] =>
  jobStatuses.filter((status) => !refusals.has(verdictOf(command, status)));

/** A job pauses itself when of its last `window` attempts at least this share has ended in one of the outcomes. */
export type PauseWhen = {
  readonly window: number;
  readonly share: number;
  readonly outcomes: readonly Outcome[];
};

/** What a job is found by: words of its owner, each with a value. */
export type Labels = Readonly<Record<string, string>>;

/** A batch job as it is stored. */
export type BatchJob = {
  readonly id: string;
  readonly organizationId: number;
  readonly name: string;
  readonly description: string;
  readonly labels: Labels;
  readonly fromPhoneNumberId: string;
  readonly status: JobStatus;
  readonly failureReason: string | null;
  readonly revision: number;
  readonly timeZone: string;
  /** The start time as its caller wrote it. */
  readonly requestedStartTime: string | null;
  readonly scheduledStartTime: Date | null;
  readonly scheduledJobId: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly startedAt: Date | null;
  readonly finishedAt: Date | null;
  readonly startLagMs: number | null;
  readonly concurrentCallLimit: number;
  readonly maxAttempts: number;
  readonly retryOn: readonly Outcome[];
  readonly retryDelaysMs: readonly number[];
  /** Null for as many as the limits allow. */
  readonly callsPerSecond: number | null;
  /** Over so long from its start the limit grows from one; null for a limit that holds from the start. */
  readonly rampUpMs: number | null;
  readonly priority: number;
  /** A start that its time is longer past than this fails the job; null for one that is made whenever it can be. */
  readonly startWithinMs: number | null;
  readonly pauseWhen: PauseWhen | null;
  /** From then on none of its contacts is leased, and it ends; null for one that ends with its last contact. */
  readonly endAt: Date | null;
  /** Why a paused job has paused itself; null for one that a command has paused. */
  readonly pauseReason: string | null;
  /** When a paused job goes on by itself; null for one that waits for a command. */
  readonly resumeAt: Date | null;
  readonly totalContacts: number;
  /** How many attempts at them have ended, whatever has become of the contact. */
  readonly endedAttempts: number;
  /** How many of them are in each status. */
  readonly counts: Readonly<Record<StoredContactStatus, number>>;
  /** False while the phones are not known of a job whose contacts all came from one file. */
  readonly hasAllPhones: boolean;
  /** How many sets of time zones its contacts are in; 0 for a job whose contacts may be called at any time. */
  readonly zoneSets: number;
  /** The job whose contacts it was created with; it may be deleted by now. */
  readonly copiedFrom: string | null;
  /** Contacts without a time zone of their own are in those that their numbers can be in. */
  readonly zonesFromPhone: boolean;
};

/** What of a job its creation gives, and may be changed until it is final. */
export type JobSettings = Pick<
  BatchJob,
  | "name"
  | "description"
  | "labels"
  | "concurrentCallLimit"
  | "maxAttempts"
  | "retryOn"
  | "retryDelaysMs"
  | "callsPerSecond"
  | "rampUpMs"
  | "priority"
  | "startWithinMs"
  | "pauseWhen"
  | "endAt"
> & {
  /** Null for a job that has none of its own. */
  readonly callingHours: CallingHours | null;
};

/** A batch job as it is created, all of its contacts pending. */
export type NewBatchJob = JobSettings &
  Pick<
    BatchJob,
    | "id"
    | "organizationId"
    | "fromPhoneNumberId"
    | "timeZone"
    | "requestedStartTime"
    | "scheduledStartTime"
    | "scheduledJobId"
    | "totalContacts"
    | "hasAllPhones"
    | "copiedFrom"
    | "zonesFromPhone"
  > & {
    readonly status: "pending" | "scheduled";
    /** What its start goes on from, where that is traced. */
    readonly traceparent: string | undefined;
  };

/** How many of the job's contacts are not final. */
export const openContacts = ({ counts }: BatchJob): number =>
  counts.pending + counts.waiting_retry + counts.dialing;

/** What a job in this status makes of its contacts that are open; undefined while they may be called still. */
export function statusOfLeft(status: JobStatus): "cancelled" | "expired" | undefined {
  if (status === "cancelled") return "cancelled";
  return status === "completed" || status === "failed" ? "expired" : undefined;
}

/** The status of a contact, as its job's status has it. */
export const shownStatus = (stored: StoredContactStatus, jobStatus: JobStatus): ContactStatus =>
  openContactStatuses.some((open) => open === stored) ? (statusOfLeft(jobStatus) ?? stored) : stored;

/** The status in which a job ends of which so many contacts were completed. */
export const statusAtEnd = (completed: number): "completed" | "failed" =>
  completed > 0 ? "completed" : "failed";

/** The status of a job: that in which it ends, once its end has come, whether or not it has been ended. */
export const statusAt = (
  job: { readonly status: JobStatus; readonly endAtMs: number | null; readonly completed: number },
  nowMs: number,
): JobStatus =>
  job.endAtMs !== null && job.endAtMs <= nowMs && statusOfLeft(job.status) === undefined
    ? statusAtEnd(job.completed)
    : job.status;

type Subject = { id: string; status: JobStatus; dialing: number };

/** Refuses the command if the job's status does not allow it. */
export function checkAllowed(command: Command, job: Subject): void {
  const verdict = verdictOf(command, job.status);
  const allowed = allowedStatuses(command);
  const metadata = { batchJobId: job.id, status: job.status, allowedStatuses: allowed.join(",") };
  const what = command.replace("_", " ");
  switch (verdict) {
    case "already_running":
      throw new BatchJobError("already_running", "The batch job is running already.", metadata);
    case "already_terminal":
    case "not_updatable":
    case "invalid_status":
      throw new BatchJobError(
        verdict,
        `The batch job is ${job.status}; to ${what} it must be ${new Intl.ListFormat("en", { type: "disjunction" }).format(allowed)}.`,
        metadata,
      );
  }
  if (verdict === "gone" && job.dialing > 0) {
    throw new BatchJobError(
      "invalid_status",
      `${job.dialing} of the batch job's contacts are dialing; delete it when their calls have ended.`,
      metadata,
    );
  }
}

/** The commands that `checkAllowed` would let pass. */
export const allowedCommands = (job: Subject): Command[] =>
  commands.filter((command) => {
    const verdict = verdictOf(command, job.status);
    return !refusals.has(verdict) && !(verdict === "gone" && job.dialing > 0);
  });
