import { randomUUID } from "node:crypto";
import { BatchJobError, wrongField } from "../../domain/batch-job-error.ts";
import {
  type ContactInput,
  type ContactStatus,
  type FlawedInput,
  type JudgedContact,
  type Rejection,
  sortOut,
} from "../../domain/contacts/contact.ts";
import type { JobSettings, NewBatchJob } from "../../domain/jobs/batch-job.ts";
import type { Tell } from "../../domain/event.ts";
import type { StartTime } from "../../domain/jobs/job-state.ts";
import type { RedisHalf } from "./redis-halves.ts";
import { checkFuture, parseStartTime } from "../../domain/time/start-time.ts";
import { canonicalTimeZone } from "../../domain/time/time-zone.ts";
import { type CommandRequest, byOf } from "./command.ts";

/** The contacts of a job that are in one of these statuses; none for all. */
export type CopiedContacts = { readonly batchJobId: string; readonly statuses: readonly ContactStatus[] };

export type NewJob<C = ContactInput | FlawedInput> = JobSettings & {
  readonly fromPhoneNumberId: string;
  readonly contacts: readonly C[];
  /** The contacts of another job instead. */
  readonly copyContacts?: CopiedContacts | undefined;
  /** Empty for a job that waits for a start. */
  readonly requestedStartTime: string;
  readonly timeZone: string;
  /** Contacts without a time zone of their own are in those that their numbers can be in. */
  readonly zonesFromPhone?: boolean;
};

/** How many rejected contacts an answer shows. */
export const shownRejections = 100;

export const summaryOf = (rejected: readonly Rejection[]) => ({
  rejectedCount: rejected.length,
  rejected: rejected.slice(0, shownRejections),
});

/** What a start time means, refused in the order of the contract: zone, date-time, past. */
export function readStartTime(requestedStartTime: string, zone: string, now: Date): StartTime {
  const timeZone = canonicalTimeZone(zone);
  const scheduledStartTime = parseStartTime(requestedStartTime, timeZone);
  checkFuture(scheduledStartTime, now);
  return { requestedStartTime, timeZone, scheduledStartTime };
}

/** Refuses an instant at which a job is to do something by itself that is not ahead. */
export function checkAhead(instant: Date, now: Date, { field, what }: { field: string; what: string }): void {
  if (instant > now) return;
  throw new BatchJobError(
    "past_scheduled_time",
    `The time to ${what}, ${instant.toISOString()}, is not in the future; it is ${now.toISOString()} now.`,
    { field, now: now.toISOString() },
  );
}

/** Refuses an end that is not ahead, or that would come before the start of a scheduled job. */
export function checkEnd(endAt: Date | null, now: Date, scheduledStartTime: Date | null): void {
  if (endAt === null) return;
  checkAhead(endAt, now, { field: "end_at", what: "end" });
  checkStartsBeforeEnd(scheduledStartTime, endAt, "end_at");
}

/** `field` is what the request gives of the two. */
export function checkStartsBeforeEnd(
  scheduledStartTime: Date | null,
  endAt: Date | null,
  field: "end_at" | "scheduled_start_time",
): void {
  if (scheduledStartTime === null || endAt === null || scheduledStartTime < endAt) return;
  throw wrongField(
    field,
    `the batch job must start before its end, and ${scheduledStartTime.toISOString()} is not before ${endAt.toISOString()}`,
  );
}

function checkAnyAccepted(given: number, rejected: readonly Rejection[]): void {
  const first = rejected[0];
  if (first === undefined || rejected.length < given) return;
  throw new BatchJobError(
    "no_valid_contacts",
    `All ${given} contacts were rejected, the first as ${first.reason}: its ${first.field} ${first.rule}. Give at least one valid contact, or none at all.`,
    { field: "contacts", rejectedContactsCount: String(given), firstReason: first.reason },
  );
}

export const createRpc = "CreateBatchJob";

type NewJobAnswer = ReturnType<typeof decideJob>["answer"];

/** What a create answers, and what it writes: the job and those of its contacts that are accepted. */
export function decideJob(
  { caller, trace }: CommandRequest,
  job: NewJob<JudgedContact>,
  now: Date,
  erased?: ReadonlySet<string>,
) {
  const start =
    job.requestedStartTime === "" ? undefined : readStartTime(job.requestedStartTime, job.timeZone, now);
  const timeZone = start?.timeZone ?? canonicalTimeZone(job.timeZone);
  checkEnd(job.endAt, now, start?.scheduledStartTime ?? null);
  const { contacts, ...settings } = job;
  const { accepted, rejected } = sortOut(contacts, erased);
  checkAnyAccepted(job.contacts.length, rejected);
  const created: NewBatchJob = {
    ...settings,
    id: randomUUID(),
    organizationId: caller.organizationId,
    status: start === undefined ? "pending" : "scheduled",
    timeZone,
    requestedStartTime: start?.requestedStartTime ?? null,
    scheduledStartTime: start?.scheduledStartTime ?? null,
    scheduledJobId: start === undefined ? null : randomUUID(),
    totalContacts: accepted.length,
    hasAllPhones: true,
    copiedFrom: null,
    zonesFromPhone: job.zonesFromPhone ?? false,
    traceparent: trace?.traceparent,
  };
  const answer = {
    batchJobId: created.id,
    status: created.status,
    totalContacts: created.totalContacts,
    scheduledJobId: created.scheduledJobId,
    /** The scheduled start time, by the name that it has in kept answers (kept-answers.ts). */
    dueMs: start?.scheduledStartTime.getTime() ?? null,
    ...summaryOf(rejected),
  };
  return { answer, created, accepted };
}

/** What is told of a new job: with a start time it is scheduled, too. */
export const toldOf = (
  { status, totalContacts, rejectedCount, dueMs }: NewJobAnswer,
  { timeZone, requestedStartTime }: NewBatchJob,
) => {
  const newScheduledStartTime = dueMs === null ? null : new Date(dueMs);
  const data = {
    status,
    totalContacts,
    rejectedContacts: rejectedCount,
    scheduledStartTime: newScheduledStartTime,
  };
  const start = {
    oldScheduledStartTime: null,
    newScheduledStartTime,
    timezone: timeZone,
    requestedStartTime,
  };
  const further = dueMs === null ? [] : [{ type: "batch_job.scheduled" as const, data: start }];
  return { data, further };
};

/** Tells of a new job by itself, and what else is to be said of its creation. */
export function tellOfNew(
  tell: Tell,
  request: CommandRequest,
  { answer, created }: { answer: NewJobAnswer; created: NewBatchJob },
  beside: object = {},
): void {
  const { data, further } = toldOf(answer, created);
  const creation = { type: "batch_job.created" as const, data: { ...data, ...beside } };
  for (const one of [creation, ...further]) {
    tell({ ...one, ...byOf(request), batchJobId: created.id, revision: 1 });
  }
}

export const entryOfNewJob = ({ scheduledJobId, dueMs }: NewJobAnswer): RedisHalf =>
  scheduledJobId === null || dueMs === null ? {} : { put: { scheduledJobId, scheduledStartTimeMs: dueMs } };
