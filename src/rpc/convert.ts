import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, type Timestamp, durationFromMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Attempt, BatchJob, Contact } from "../jobs/batch-jobs.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import { type Command, type JobStatus, allowedCommands } from "../domain/batch-job.ts";
import type { Role } from "../domain/caller.ts";
import type { ContactStatus, Outcome, RejectedRow, Rejection, RejectionReason } from "../domain/contact.ts";
import { writeLeaseId } from "../domain/lease-id.ts";
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
} from "../gen/callsheet/v1/batch_job_pb.ts";
import type { RejectedRowSchema } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import { Role as ProtoRole } from "../gen/callsheet/v1/options_pb.ts";

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
  cancelled: ProtoContactStatus.CANCELLED,
};

const protoRejectionReasons: Record<RejectionReason, ProtoRejectionReason> = {
  invalid_phone_format: ProtoRejectionReason.INVALID_PHONE_FORMAT,
  duplicate_phone: ProtoRejectionReason.DUPLICATE_PHONE,
  invalid_fields: ProtoRejectionReason.INVALID_FIELDS,
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
export const readContactStatuses = reader(protoContactStatuses);
export const readRoles = reader(protoRoles);

/** A duration in whole milliseconds; what is finer is cut off. */
export const durationMs = ({ seconds, nanos }: Duration): number =>
  Number(seconds) * 1000 + Math.trunc(nanos / 1e6);

/** The same for a field of a request. Validation looks at seconds and nanos, but not at their signs. */
export function readDuration(field: string, duration: Duration): number {
  if (duration.nanos >= 0 && duration.nanos < 1e9) return durationMs(duration);
  throw new BatchJobError(
    "invalid_argument",
    `The request's field ${field} is wrong: its nanos must be from 0 to 999,999,999.`,
    { field },
  );
}

/** A field that stays unset if there is no date. */
export const at = <K extends string>(field: K, date: Date | null): { [P in K]?: Timestamp } =>
  date === null ? {} : ({ [field]: timestampFromDate(date) } as { [P in K]?: Timestamp });

function toCounts(job: BatchJob) {
  const isCancelled = job.status === "cancelled";
  const open = job.pending_contacts + job.waiting_retry_contacts;
  return {
    total: job.total_contacts,
    pending: isCancelled ? 0 : job.pending_contacts,
    waitingRetry: isCancelled ? 0 : job.waiting_retry_contacts,
    dialing: job.dialing_contacts,
    completed: job.completed_contacts,
    noAnswer: job.no_answer_contacts,
    busy: job.busy_contacts,
    timeout: job.timeout_contacts,
    voicemail: job.voicemail_contacts,
    blocked: job.blocked_contacts,
    invalidNumber: job.invalid_number_contacts,
    carrierError: job.carrier_error_contacts,
    failed: job.failed_contacts,
    unknown: job.unknown_contacts,
    cancelled: isCancelled ? open : 0,
  };
}

/** The job as a caller of this role sees it. */
export function toBatchJob(job: BatchJob, role: Role): MessageInitShape<typeof BatchJobSchema> {
  const mayCommand = role === "admin" || role === "operator";
  const allowed = allowedCommands({ id: job.id, status: job.status, dialing: job.dialing_contacts });
  return {
    batchJobId: job.id,
    name: job.name,
    description: job.description,
    fromPhoneNumberId: job.from_phone_number_id,
    status: protoStatuses[job.status],
    failureReason: job.failure_reason ?? "",
    allowedCommands: mayCommand ? allowed.map((command) => protoCommands[command]) : [],
    revision: BigInt(job.revision),
    timezone: job.timezone,
    requestedStartTime: job.requested_start_time ?? "",
    ...at("scheduledStartTime", job.scheduled_at),
    scheduledJobId: job.scheduled_job_id ?? "",
    ...at("createdAt", job.created_at),
    ...at("updatedAt", job.updated_at),
    ...at("startedAt", job.started_at),
    ...at("finishedAt", job.finished_at),
    ...(job.start_lag_ms === null ? {} : { startLag: durationFromMs(job.start_lag_ms) }),
    concurrentCallLimit: job.concurrent_call_limit,
    maxAttempts: job.max_attempts,
    retryOn: job.retry_on.map((outcome) => protoOutcomes[outcome]),
    retryDelays: job.retry_delays_ms.map(durationFromMs),
    counts: toCounts(job),
  };
}

export function toContact(contact: Contact): MessageInitShape<typeof ContactSchema> {
  return {
    batchJobId: contact.job_id,
    number: contact.number,
    phone: contact.phone,
    name: contact.name,
    fields: contact.fields,
    status: protoContactStatuses[contact.status],
    attempts: contact.attempts,
    lastOutcome:
      contact.last_outcome === null ? ProtoOutcome.UNSPECIFIED : protoOutcomes[contact.last_outcome],
    ...(contact.status === "waiting_retry" ? at("nextAttemptAt", contact.next_attempt_at) : {}),
  };
}

export function toAttempt(attempt: Attempt): MessageInitShape<typeof AttemptSchema> {
  return {
    attempt: attempt.attempt,
    leaseId: writeLeaseId({
      jobId: attempt.job_id,
      number: attempt.number,
      attempt: attempt.attempt,
      nonce: attempt.nonce,
    }),
    workerId: attempt.worker_id,
    ...at("leasedAt", attempt.leased_at),
    ...at("leaseExpiresAt", attempt.expires_at),
    ...at("endedAt", attempt.ended_at),
    outcome: attempt.outcome === null ? ProtoOutcome.UNSPECIFIED : protoOutcomes[attempt.outcome],
    errorCode: attempt.error_code ?? "",
    failureReason: attempt.failure_reason ?? "",
    ...(attempt.call_duration_ms === null ? {} : { callDuration: durationFromMs(attempt.call_duration_ms) }),
    providerCallId: attempt.provider_call_id ?? "",
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
