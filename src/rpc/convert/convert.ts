import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Duration,
  type Timestamp,
  durationFromMs,
  timestampFromDate,
  timestampFromMs,
} from "@bufbuild/protobuf/wkt";
import type { Attempt, BatchJob, Contact } from "../../jobs/batch-jobs.ts";
import { wrongField } from "../../domain/batch-job-error.ts";
import { type Command, type JobStatus, allowedCommands, statusOfLeft } from "../../domain/jobs/batch-job.ts";
import type { Role } from "../../domain/caller.ts";
import type {
  ContactStatus,
  Outcome,
  RejectedRow,
  Rejection,
  RejectionReason,
  ReportedOutcome,
  StoredContactStatus,
} from "../../domain/contacts/contact.ts";
import type { CountsAt } from "../../domain/jobs/history.ts";
import type { Hold, HoldReason } from "../../domain/jobs/holds.ts";
import { writeLeaseId } from "../../domain/contacts/lease-id.ts";
import {
  type AttemptSchema,
  BatchJobCommand,
  type BatchJobSchema,
  BatchJobStatus,
  type ContactSchema,
  ContactStatus as ProtoContactStatus,
  Outcome as ProtoOutcome,
  type RejectedContactSchema,
  RejectionReason as ProtoRejectionReason,
} from "../../gen/callsheet/v1/batch_job_pb.ts";
import { HoldReason as ProtoHoldReason, type HoldSchema } from "../../gen/callsheet/v1/hold_pb.ts";
import type { RejectedRowSchema } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import { Role as ProtoRole } from "../../gen/callsheet/v1/options_pb.ts";

export const protoStatuses: Record<JobStatus, BatchJobStatus> = {
  pending: BatchJobStatus.PENDING,
  scheduled: BatchJobStatus.SCHEDULED,
  running: BatchJobStatus.RUNNING,
  paused: BatchJobStatus.PAUSED,
  completed: BatchJobStatus.COMPLETED,
  failed: BatchJobStatus.FAILED,
  cancelled: BatchJobStatus.CANCELLED,
};

const protoCommands: Record<Command, BatchJobCommand> = {
  start: BatchJobCommand.START,
  reschedule: BatchJobCommand.RESCHEDULE,
  pause: BatchJobCommand.PAUSE,
  resume: BatchJobCommand.RESUME,
  cancel: BatchJobCommand.CANCEL,
  delete: BatchJobCommand.DELETE,
  add_contacts: BatchJobCommand.ADD_CONTACTS,
  update: BatchJobCommand.UPDATE,
};

export const protoOutcomes: Record<Outcome, ProtoOutcome> = {
  completed: ProtoOutcome.COMPLETED,
  no_answer: ProtoOutcome.NO_ANSWER,
  busy: ProtoOutcome.BUSY,
  timeout: ProtoOutcome.TIMEOUT,
  voicemail: ProtoOutcome.VOICEMAIL,
  blocked: ProtoOutcome.BLOCKED,
  invalid_number: ProtoOutcome.INVALID_NUMBER,
  carrier_error: ProtoOutcome.CARRIER_ERROR,
  failed: ProtoOutcome.FAILED,
  unknown: ProtoOutcome.UNKNOWN,
};

export const protoReportedOutcomes: Record<ReportedOutcome, ProtoOutcome> = {
  ...protoOutcomes,
  not_dialed: ProtoOutcome.NOT_DIALED,
};

export const protoContactStatuses: Record<ContactStatus, ProtoContactStatus> = {
  pending: ProtoContactStatus.PENDING,
  dialing: ProtoContactStatus.DIALING,
  waiting_retry: ProtoContactStatus.WAITING_RETRY,
  completed: ProtoContactStatus.COMPLETED,
  no_answer: ProtoContactStatus.NO_ANSWER,
  busy: ProtoContactStatus.BUSY,
  timeout: ProtoContactStatus.TIMEOUT,
  voicemail: ProtoContactStatus.VOICEMAIL,
  blocked: ProtoContactStatus.BLOCKED,
  invalid_number: ProtoContactStatus.INVALID_NUMBER,
  carrier_error: ProtoContactStatus.CARRIER_ERROR,
  failed: ProtoContactStatus.FAILED,
  unknown: ProtoContactStatus.UNKNOWN,
  suppressed: ProtoContactStatus.SUPPRESSED,
  cancelled: ProtoContactStatus.CANCELLED,
  expired: ProtoContactStatus.EXPIRED,
};

export const protoRejectionReasons: Record<RejectionReason, ProtoRejectionReason> = {
  invalid_phone_format: ProtoRejectionReason.INVALID_PHONE_FORMAT,
  extension_not_supported: ProtoRejectionReason.EXTENSION_NOT_SUPPORTED,
  duplicate_phone: ProtoRejectionReason.DUPLICATE_PHONE,
  invalid_fields: ProtoRejectionReason.INVALID_FIELDS,
  invalid_timezone: ProtoRejectionReason.INVALID_TIMEZONE,
  erased_phone: ProtoRejectionReason.ERASED_PHONE,
};

export const protoRoles: Record<Role, ProtoRole> = {
  admin: ProtoRole.ADMIN,
  operator: ProtoRole.OPERATOR,
  viewer: ProtoRole.VIEWER,
  worker: ProtoRole.WORKER,
};

/** The words of a table's proto values. Validation has refused values that are not in it. */
const reader = <Word extends string>(table: Record<Word, number>) => {
  const words = new Map(Object.entries<number>(table).map(([word, value]) => [value, word as Word]));
  return (values: readonly number[]): Word[] =>
    values.map((value) => words.get(value)).filter((word) => word !== undefined);
};

export const readStatuses = reader(protoStatuses);
export const readOutcomes = reader(protoOutcomes);
export const readReportedOutcomes = reader(protoReportedOutcomes);
export const readContactStatuses = reader(protoContactStatuses);
export const readRoles = reader(protoRoles);

/** A duration in whole milliseconds; what is finer is cut off. */
export const durationMs = ({ seconds, nanos }: Duration): number =>
  Number(seconds) * 1000 + Math.trunc(nanos / 1e6);

/** The same for a field of a request. Validation looks at seconds and nanos, but not at their signs. */
export function readDuration(field: string, duration: Duration): number {
  if (duration.nanos >= 0 && duration.nanos < 1e9) return durationMs(duration);
  throw wrongField(field, "its nanos must be from 0 to 999,999,999");
}

/** A field that stays unset if there is no date. */
export const at = <K extends string>(field: K, date: Date | null): { [P in K]?: Timestamp } =>
  date === null ? {} : ({ [field]: timestampFromDate(date) } as { [P in K]?: Timestamp });

const toCounts = ({ status, totalContacts, counts }: BatchJob) =>
  toStoredCounts(status, totalContacts, counts);

/** The counts that are stored, as they are shown of a job in this status. */
export function toStoredCounts(
  status: JobStatus,
  totalContacts: number,
  counts: Readonly<Record<StoredContactStatus, number>>,
) {
  const left = statusOfLeft(status);
  const open = counts.pending + counts.waiting_retry;
  return {
    total: totalContacts,
    pending: left === undefined ? counts.pending : 0,
    waitingRetry: left === undefined ? counts.waiting_retry : 0,
    dialing: counts.dialing,
    completed: counts.completed,
    noAnswer: counts.no_answer,
    busy: counts.busy,
    timeout: counts.timeout,
    voicemail: counts.voicemail,
    blocked: counts.blocked,
    invalidNumber: counts.invalid_number,
    carrierError: counts.carrier_error,
    failed: counts.failed,
    unknown: counts.unknown,
    suppressed: counts.suppressed,
    cancelled: left === "cancelled" ? open : 0,
    expired: left === "expired" ? open : 0,
  };
}

/** Before the last of them the job ran. */
export const toHistory = (history: readonly CountsAt[], { status }: BatchJob) =>
  history.map(({ atMs, totalContacts, counts, endedAttempts }, i) => ({
    at: timestampFromMs(atMs),
    counts: toStoredCounts(i === history.length - 1 ? status : "running", totalContacts, counts),
    endedAttempts,
  }));

const protoHoldReasons: Record<HoldReason, ProtoHoldReason> = {
  not_started: ProtoHoldReason.NOT_STARTED,
  paused: ProtoHoldReason.PAUSED,
  unknown_zone: ProtoHoldReason.UNKNOWN_ZONE,
  calling_hours: ProtoHoldReason.CALLING_HOURS,
  retry_delay: ProtoHoldReason.RETRY_DELAY,
  job_limit: ProtoHoldReason.JOB_LIMIT,
  organization_limit: ProtoHoldReason.ORGANIZATION_LIMIT,
  pace: ProtoHoldReason.PACE,
  no_worker: ProtoHoldReason.NO_WORKER,
  suppressed: ProtoHoldReason.SUPPRESSED,
};

const toHold = ({ reason, contacts, until }: Hold): MessageInitShape<typeof HoldSchema> => ({
  reason: protoHoldReasons[reason],
  contacts,
  ...at("until", until),
});

/** The job as a caller of this role sees it. */
export function toBatchJob(
  job: BatchJob,
  role: Role,
  holds: readonly Hold[] = [],
): MessageInitShape<typeof BatchJobSchema> {
  const mayCommand = role === "admin" || role === "operator";
  const allowed = allowedCommands({ id: job.id, status: job.status, dialing: job.counts.dialing });
  return {
    batchJobId: job.id,
    name: job.name,
    description: job.description,
    labels: job.labels,
    fromPhoneNumberId: job.fromPhoneNumberId,
    status: protoStatuses[job.status],
    failureReason: job.failureReason ?? "",
    allowedCommands: mayCommand ? allowed.map((command) => protoCommands[command]) : [],
    revision: BigInt(job.revision),
    timezone: job.timeZone,
    requestedStartTime: job.requestedStartTime ?? "",
    ...at("scheduledStartTime", job.scheduledStartTime),
    scheduledJobId: job.scheduledJobId ?? "",
    ...at("createdAt", job.createdAt),
    ...at("updatedAt", job.updatedAt),
    ...at("startedAt", job.startedAt),
    ...at("finishedAt", job.finishedAt),
    ...(job.startLagMs === null ? {} : { startLag: durationFromMs(job.startLagMs) }),
    concurrentCallLimit: job.concurrentCallLimit,
    maxAttempts: job.maxAttempts,
    retryOn: job.retryOn.map((outcome) => protoOutcomes[outcome]),
    retryDelays: job.retryDelaysMs.map(durationFromMs),
    ...(job.callsPerSecond === null ? {} : { callsPerSecond: job.callsPerSecond }),
    ...(job.rampUpMs === null ? {} : { rampUp: durationFromMs(job.rampUpMs) }),
    priority: job.priority,
    ...(job.startWithinMs === null ? {} : { startWithin: durationFromMs(job.startWithinMs) }),
    ...(job.pauseWhen === null
      ? {}
      : {
          pauseWhen: {
            ...job.pauseWhen,
            outcomes: job.pauseWhen.outcomes.map((outcome) => protoOutcomes[outcome]),
          },
        }),
    pauseReason: job.pauseReason ?? "",
    ...at("resumeAt", job.resumeAt),
    zonesFromPhone: job.zonesFromPhone,
    ...at("endAt", job.endAt),
    counts: toCounts(job),
    endedAttempts: job.endedAttempts,
    holds: holds.map(toHold),
    copiedFrom: job.copiedFrom ?? "",
  };
}

export function toContact(contact: Contact, hold?: Hold): MessageInitShape<typeof ContactSchema> {
  return {
    batchJobId: contact.jobId,
    number: contact.number,
    phone: contact.phone,
    name: contact.name,
    fields: contact.fields,
    timezone: contact.timezone ?? "",
    status: protoContactStatuses[contact.status],
    attempts: contact.attempts,
    lastOutcome: contact.lastOutcome === null ? ProtoOutcome.UNSPECIFIED : protoOutcomes[contact.lastOutcome],
    ...(contact.status === "waiting_retry" ? at("nextAttemptAt", contact.nextAttemptAt) : {}),
    ...(hold === undefined ? {} : { hold: toHold(hold) }),
  };
}

export function toAttempt(attempt: Attempt): MessageInitShape<typeof AttemptSchema> {
  return {
    attempt: attempt.attempt,
    leaseId: writeLeaseId(attempt),
    workerId: attempt.workerId,
    ...at("leasedAt", attempt.leasedAt),
    ...at("leaseExpiresAt", attempt.expiresAt),
    ...at("endedAt", attempt.endedAt),
    outcome: attempt.outcome === null ? ProtoOutcome.UNSPECIFIED : protoOutcomes[attempt.outcome],
    errorCode: attempt.errorCode ?? "",
    failureReason: attempt.failureReason ?? "",
    ...(attempt.callDurationMs === null ? {} : { callDuration: durationFromMs(attempt.callDurationMs) }),
    providerCallId: attempt.providerCallId ?? "",
  };
}

export const toRejectedContact = ({
  reason,
  ...rejection
}: Rejection): MessageInitShape<typeof RejectedContactSchema> => ({
  ...rejection,
  reason: protoRejectionReasons[reason],
});

export const toRejectedRow = ({
  reason,
  ...rejection
}: RejectedRow): MessageInitShape<typeof RejectedRowSchema> => ({
  ...rejection,
  reason: protoRejectionReasons[reason],
});
