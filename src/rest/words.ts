import type { BatchJob } from "../jobs/batch-jobs.ts";
import { shownStatus } from "../domain/jobs/batch-job.ts";
import type { CalledContact, JobDetail } from "../jobs/offset-pages.ts";
import {
  type ContactStatus,
  finalContactStatuses,
  openContactStatuses,
  storedContactStatuses,
} from "../domain/contacts/contact.ts";

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
  suppressed: "failed",
  expired: "failed",
  cancelled: "cancelled",
};

const contactStatuses = Object.keys(wordOf) as ContactStatus[];

/** The statuses that a word stands for. */
export const statusesOf = (word: ContactWord): ContactStatus[] =>
  contactStatuses.filter((status) => wordOf[status] === word);

export const exportFilters = ["all", "successful", "failed"] as const;

/** Final, and neither completed nor cancelled. */
const unsuccessful: ContactStatus[] = [
  ...finalContactStatuses.filter((status) => status !== "completed"),
  "expired",
];

/** The statuses of the contacts that a filter keeps; none for all. */
export function statusesOfFilter(filter: (typeof exportFilters)[number]): ContactStatus[] {
  if (filter === "all") return [];
  return filter === "successful" ? ["completed"] : unsuccessful;
}

const iso = (time: Date | null | undefined): string | null => time?.toISOString() ?? null;
const textOrNull = (text: string | null | undefined): string | null =>
  text === null || text === undefined || text === "" ? null : text;

const countOf = (job: BatchJob, statuses: readonly ContactStatus[]): number =>
  storedContactStatuses
    .filter((stored) => statuses.includes(shownStatus(stored, job.status)))
    .reduce((sum, stored) => sum + job.counts[stored], 0);

/** How many contacts are final; those of a job that has ended are, but for those that are being called. */
const processedOf = (job: BatchJob): number =>
  job.totalContacts - countOf(job, [...openContactStatuses, "dialing"]);

export function toJob(job: BatchJob) {
  return {
    id: job.id,
    name: job.name,
    description: textOrNull(job.description),
    status: job.status,
    organizationId: String(job.organizationId),
    agentId: null,
    fromPhoneNumberId: job.fromPhoneNumberId,
    totalContacts: job.totalContacts,
    contactsProcessed: processedOf(job),
    successfulCalls: job.counts.completed,
    failedCalls: countOf(job, unsuccessful),
    scheduledStartTime: iso(job.scheduledStartTime),
    actualStartTime: iso(job.startedAt),
    completedAt: iso(job.finishedAt),
    createdAt: job.createdAt.toISOString(),
    concurrentCallLimit: job.concurrentCallLimit,
    retryPolicy: {
      maxAttempts: job.maxAttempts,
      retryableStatuses: [...new Set(job.retryOn.map((outcome) => wordOf[outcome]))],
    },
  };
}

/** How many contacts are in each status in which some are. */
function toBreakdown(job: BatchJob): Record<string, number> {
  const counts: Partial<Record<ContactWord, number>> = {};
  for (const status of storedContactStatuses) {
    const count = job.counts[status];
    if (count === 0) continue;
    const word = wordOf[shownStatus(status, job.status)];
    counts[word] = (counts[word] ?? 0) + count;
  }
  return counts;
}

/**
 * When the job ends if it goes on as fast as it went so far; null before its first result, and while it does not run.
 */
function toCompletionTime(job: BatchJob, now: Date | undefined): string | null {
  const done = processedOf(job);
  if (now === undefined || job.startedAt === null || done === 0) return null;
  const msEach = Math.max(0, now.getTime() - job.startedAt.getTime()) / done;
  const end = new Date(now.getTime() + msEach * (job.totalContacts - done));
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
  const durationMs = lastAttempt?.callDurationMs ?? null;
  return {
    id: `${contact.jobId}:${contact.number}`,
    phoneNumber: contact.phone,
    contactData: { ...contact.fields, phone: contact.phone, name: textOrNull(contact.name) },
    status: wordOf[status],
    errorCode: textOrNull(lastAttempt?.errorCode),
    attemptCount: contact.attempts,
    maxAttempts: job.maxAttempts,
    lastAttemptAt: iso(lastAttempt?.leasedAt),
    nextRetryAt: status === "waiting_retry" ? iso(contact.nextAttemptAt) : null,
    completedAt: isFinal ? iso(lastAttempt?.endedAt ?? job.finishedAt) : null,
    roomName: textOrNull(lastAttempt?.providerCallId),
    failureReason: toFailureReason(status, textOrNull(lastAttempt?.failureReason)),
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
