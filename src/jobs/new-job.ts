import { randomUUID } from "node:crypto";
import { BatchJobError } from "../domain/batch-job-error.ts";
import {
  type ContactInput,
  type ContactStatus,
  type FlawedInput,
  type Rejection,
  sortOut,
} from "../domain/contact.ts";
import type { JobSettings, NewBatchJob } from "../domain/batch-job.ts";
import type { StartTime } from "../domain/job-state.ts";
import type { RedisHalf } from "./redis-halves.ts";
import { checkFuture, parseStartTime } from "../domain/start-time.ts";
import { canonicalTimeZone } from "../domain/time-zone.ts";
import type { CommandRequest } from "./command.ts";

/** The contacts of a job that are in one of these statuses; none for all. */
export type CopiedContacts = { readonly batchJobId: string; readonly statuses: readonly ContactStatus[] };

export type NewJob = JobSettings & {
  readonly fromPhoneNumberId: string;
  readonly contacts: readonly (ContactInput | FlawedInput)[];
  /** The contacts of another job instead. */
  readonly copyContacts?: CopiedContacts | undefined;
  /** Empty for a job that waits for a start. */
  readonly requestedStartTime: string;
  readonly timeZone: string;
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
export function decideJob({ caller, trace }: CommandRequest, job: NewJob, now: Date) {
  const start =
    job.requestedStartTime === "" ? undefined : readStartTime(job.requestedStartTime, job.timeZone, now);
  const timeZone = start?.timeZone ?? canonicalTimeZone(job.timeZone);
  const { contacts, ...settings } = job;
  const { accepted, rejected } = sortOut(contacts);
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

/** What is recorded of a new job. */
export const recordedOf = ({ status, totalContacts, rejectedCount, dueMs }: NewJobAnswer) => ({
  status,
  totalContacts,
  rejectedContacts: rejectedCount,
  scheduledStartTime: dueMs === null ? null : new Date(dueMs),
});

export const entryOfNewJob = ({ scheduledJobId, dueMs }: NewJobAnswer): RedisHalf =>
  scheduledJobId === null || dueMs === null ? {} : { put: { scheduledJobId, scheduledStartTimeMs: dueMs } };
