import type { BatchJob } from "../jobs/batch-jobs.ts";
import type { CalledContact, JobDetail } from "../jobs/offset-pages.ts";
import {
  type ContactStatus,
  openContactStatuses,
  outcomes,
  type StoredContactStatus,
  storedContactStatuses,
} from "../domain/contact.ts";

/** What the published paths call a contact's status. */
export const contactWords = [
  "pending",
  "queued",
  "dialing",
  "completed",
  "no_answer",
  "busy",
  "timeout",
  "failed",
  "cancelled",
] as const;

export type ContactWord = (typeof contactWords)[number];

const wordOf: Readonly<Record<ContactStatus, ContactWord>> = {
  pending: "pending",
  waiting_retry: "queued",
  dialing: "dialing",
  completed: "completed",
  no_answer: "no_answer",
  voicemail: "no_answer",
  busy: "busy",
  timeout: "timeout",
  blocked: "failed",
  invalid_number: "failed",
  carrier_error: "failed",
  failed: "failed",
  unknown: "failed",
  cancelled: "cancelled",
};

const contactStatuses = Object.keys(wordOf) as ContactStatus[];

/** The statuses that a word stands for. */
export const statusesOf = (word: ContactWord): ContactStatus[] =>
  contactStatuses.filter((status) => wordOf[status] === word);

export const exportFilters = ["all", "successful", "failed"] as const;

/** The statuses of the contacts that a filter keeps; none for all. */
export function statusesOfFilter(filter: (typeof exportFilters)[number]): ContactStatus[] {
  if (filter === "all") return [];
  return outcomes.filter((outcome) => (outcome === "completed") === (filter === "successful"));
}

const iso = (time: Date | null | undefined): string | null => time?.toISOString() ?? null;
const textOrNull = (text: string | null | undefined): string | null =>
  text === null || text === undefined || text === "" ? null : text;

const countOf = (job: BatchJob, statuses: readonly StoredContactStatus[]): number =>
  statuses.reduce((sum, status) => sum + job[`${status}_contacts`], 0);

/** How many contacts are final; those of a cancelled job that nobody calls any more are. */
function processedOf(job: BatchJob): number {
  const open = job.status === "cancelled" ? [] : openContactStatuses;
  return job.total_contacts - countOf(job, [...open, "dialing"]);
}

export function toJob(job: BatchJob) {
  return {
    id: job.id,
    name: job.name,
    description: textOrNull(job.description),
    status: job.status,
    organizationId: String(job.organization_id),
    agentId: null,
    fromPhoneNumberId: job.from_phone_number_id,
    totalContacts: job.total_contacts,
    contactsProcessed: processedOf(job),
    successfulCalls: job.completed_contacts,
    failedCalls: countOf(
      job,
      outcomes.filter((outcome) => outcome !== "completed"),
    ),
    scheduledStartTime: iso(job.scheduled_at),
    actualStartTime: iso(job.started_at),
    completedAt: iso(job.finished_at),
    createdAt: job.created_at.toISOString(),
    concurrentCallLimit: job.concurrent_call_limit,
    retryPolicy: {
      maxAttempts: job.max_attempts,
      retryableStatuses: [...new Set(job.retry_on.map((outcome) => wordOf[outcome]))],
    },
  };
}

/** How many contacts are in each status in which some are. */
function toBreakdown(job: BatchJob): Record<string, number> {
  const counts: Partial<Record<ContactWord, number>> = {};
  for (const status of storedContactStatuses) {
    const count = job[`${status}_contacts`];
    if (count === 0) continue;
    const isOpen = openContactStatuses.some((open) => open === status);
    const word = wordOf[job.status === "cancelled" && isOpen ? "cancelled" : status];
    counts[word] = (counts[word] ?? 0) + count;
  }
  return counts;
}

/**
 * When the job ends if it goes on as fast as it went so far; null before its first result, and while it does not run.
 */
function toCompletionTime(job: BatchJob, now: Date | undefined): string | null {
  const done = processedOf(job);
  if (now === undefined || job.started_at === null || done === 0) return null;
  const msEach = Math.max(0, now.getTime() - job.started_at.getTime()) / done;
  const end = new Date(now.getTime() + msEach * (job.total_contacts - done));
  return Number.isNaN(end.getTime()) ? null : end.toISOString();
}

/** A reason for people; our word for the status comes first where theirs says less. */
function toFailureReason(status: ContactStatus, reason: string | null): string | null {
  if (wordOf[status] === status || status === "waiting_retry") return reason;
  return reason === null ? status : `${status}: ${reason}`;
}

function toContact(contact: CalledContact, job: BatchJob) {
  const { lastAttempt, status } = contact;
  const isFinal = status !== "pending" && status !== "dialing" && status !== "waiting_retry";
  const durationMs = lastAttempt?.call_duration_ms ?? null;
  return {
    id: `${contact.job_id}:${contact.number}`,
    phoneNumber: contact.phone,
    contactData: { ...contact.fields, phone: contact.phone, name: textOrNull(contact.name) },
    status: wordOf[status],
    errorCode: textOrNull(lastAttempt?.error_code),
    attemptCount: contact.attempts,
    maxAttempts: job.max_attempts,
    lastAttemptAt: iso(lastAttempt?.leased_at),
    nextRetryAt: status === "waiting_retry" ? iso(contact.next_attempt_at) : null,
    completedAt: isFinal ? iso(lastAttempt?.ended_at ?? job.finished_at) : null,
    roomName: textOrNull(lastAttempt?.provider_call_id),
    failureReason: toFailureReason(status, textOrNull(lastAttempt?.failure_reason)),
    callDuration: durationMs === null ? null : Math.round(durationMs / 1_000),
  };
}

export function toDetail(
  { job, now, contacts, contactsTotal }: JobDetail,
  page: { page: number; size: number },
) {
  return {
    ...toJob(job),
    statusBreakdown: toBreakdown(job),
    estimatedCompletionTime: toCompletionTime(job, now),
    contacts: contacts.map((contact) => toContact(contact, job)),
    contactsTotal,
    contactsPage: page.page,
    contactsPageSize: page.size,
    contactsHasMore: page.page * page.size < contactsTotal,
  };
}

const counted = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? "" : "s"}`;

/** How long the calls of a job take if all are answered at once, as text: `15 minutes`, `2 hours`. */
export function toDuration(contacts: number, limit: number, callMs: number): string {
  const minutes = Math.ceil((Math.ceil(contacts / limit) * callMs) / 60_000);
  const [hours, rest] = [Math.floor(minutes / 60), minutes % 60];
  if (hours === 0) return counted(minutes, "minute");
  return rest === 0 ? counted(hours, "hour") : `${counted(hours, "hour")} ${counted(rest, "minute")}`;
}
