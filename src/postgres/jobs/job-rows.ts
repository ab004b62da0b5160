import { sql } from "kysely";
import type { BatchJob, NewBatchJob } from "../../domain/jobs/batch-job.ts";
import { storedContactStatuses } from "../../domain/contacts/contact.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { isOwnedAs } from "../owned.ts";
import type { BatchJobInsert, BatchJobRow } from "../schema/tables.ts";

type OwnColumn = Exclude<keyof BatchJobRow, `${(typeof storedContactStatuses)[number]}_contacts`>;

/** All of them: one that is forgotten does not compile. */
const ownColumns: Readonly<Record<OwnColumn, true>> = {
  id: true,
  organization_id: true,
  name: true,
  description: true,
  from_phone_number_id: true,
  status: true,
  failure_reason: true,
  revision: true,
  timezone: true,
  requested_start_time: true,
  scheduled_at: true,
  scheduled_job_id: true,
  created_at: true,
  updated_at: true,
  started_at: true,
  finished_at: true,
  start_lag_ms: true,
  concurrent_call_limit: true,
  max_attempts: true,
  retry_on: true,
  retry_delays_ms: true,
  calls_per_second: true,
  next_call_at: true,
  ramp_up_ms: true,
  priority: true,
  start_within_ms: true,
  pause_when: true,
  pause_reason: true,
  resume_at: true,
  end_at: true,
  retries_judged_to: true,
  total_contacts: true,
  ended_attempts: true,
  has_all_phones: true,
  phones_up_to: true,
  sorted_up_to: true,
  zone_sets: true,
  labels: true,
  copied_from: true,
  zones_from_phone: true,
};

const columns = [...Object.keys(ownColumns), ...storedContactStatuses.map((status) => `${status}_contacts`)];

/** The columns of a job in a table or under an alias, by their names: for statements that are prepared. */
export const jobColumns = (of: string) => sql.join(columns.map((column) => sql.ref(`${of}.${column}`)));

/** The columns that name these jobs, one row for each: for look-ups that are made for several organizations at once. */
export const asJobRows = (jobs: readonly JobKey[]) => sql`unnest(
  ${plainArray(jobs.map((job) => job.organizationId))}::int[], ${plainArray(jobs.map((job) => job.id))}::uuid[]
) as asked (organization_id, id)`;

/** Whether a job, as `b`, is one of `asJobRows`. */
export const isAsked = sql`${isOwnedAs("b", "asked")} and b.id = asked.id`;

/** A job for those who know nothing of tables. */
export const toBatchJob = (row: BatchJobRow): BatchJob => ({
  id: row.id,
  organizationId: row.organization_id,
  name: row.name,
  description: row.description,
  labels: row.labels,
  fromPhoneNumberId: row.from_phone_number_id,
  status: row.status,
  failureReason: row.failure_reason,
  revision: row.revision,
  timeZone: row.timezone,
  requestedStartTime: row.requested_start_time,
  scheduledStartTime: row.scheduled_at,
  scheduledJobId: row.scheduled_job_id,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  startLagMs: row.start_lag_ms,
  concurrentCallLimit: row.concurrent_call_limit,
  maxAttempts: row.max_attempts,
  retryOn: row.retry_on,
  retryDelaysMs: row.retry_delays_ms,
  callsPerSecond: row.calls_per_second,
  rampUpMs: row.ramp_up_ms,
  priority: row.priority,
  startWithinMs: row.start_within_ms,
  pauseWhen: row.pause_when,
  pauseReason: row.pause_reason,
  resumeAt: row.resume_at,
  endAt: row.end_at,
  totalContacts: row.total_contacts,
  endedAttempts: row.ended_attempts,
  counts: {
    pending: row.pending_contacts,
    dialing: row.dialing_contacts,
    waiting_retry: row.waiting_retry_contacts,
    completed: row.completed_contacts,
    no_answer: row.no_answer_contacts,
    busy: row.busy_contacts,
    timeout: row.timeout_contacts,
    voicemail: row.voicemail_contacts,
    blocked: row.blocked_contacts,
    invalid_number: row.invalid_number_contacts,
    carrier_error: row.carrier_error_contacts,
    failed: row.failed_contacts,
    unknown: row.unknown_contacts,
    suppressed: row.suppressed_contacts,
  },
  hasAllPhones: row.has_all_phones,
  zoneSets: row.zone_sets,
  copiedFrom: row.copied_from,
  zonesFromPhone: row.zones_from_phone,
});

export const toInsert = (job: NewBatchJob): BatchJobInsert => ({
  id: job.id,
  organization_id: job.organizationId,
  name: job.name,
  description: job.description,
  labels: JSON.stringify(job.labels),
  from_phone_number_id: job.fromPhoneNumberId,
  status: job.status,
  timezone: job.timeZone,
  requested_start_time: job.requestedStartTime,
  scheduled_at: job.scheduledStartTime,
  scheduled_job_id: job.scheduledJobId,
  concurrent_call_limit: job.concurrentCallLimit,
  max_attempts: job.maxAttempts,
  retry_on: [...job.retryOn],
  retry_delays_ms: [...job.retryDelaysMs],
  calls_per_second: job.callsPerSecond,
  ramp_up_ms: job.rampUpMs,
  priority: job.priority,
  start_within_ms: job.startWithinMs,
  pause_when: job.pauseWhen,
  end_at: job.endAt,
  total_contacts: job.totalContacts,
  pending_contacts: job.totalContacts,
  calling_hours: job.callingHours === null ? null : JSON.stringify(job.callingHours),
  zone_sets: job.callingHours === null ? 0 : 1,
  has_all_phones: job.hasAllPhones,
  copied_from: job.copiedFrom,
  zones_from_phone: job.zonesFromPhone,
  ...(job.traceparent === undefined ? {} : { trace_context: job.traceparent }),
});
