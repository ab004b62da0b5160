import { wrongField } from "./batch-job-error.ts";
import type { Outcome, StoredContactStatus } from "./contacts/contact.ts";

/*
 * What happened, as the log of an organization tells it. There are no phones and no names of people in it, nor why a
 * phone is suppressed.
 */

/** Every type of event, and whether only admins are told of it. */
const audiences = {
  "batch_job.created": "all",
  "batch_job.updated": "all",
  "batch_job.contacts_added": "all",
  "batch_job.scheduled": "all",
  "batch_job.started": "all",
  "batch_job.paused": "all",
  "batch_job.resumed": "all",
  "batch_job.completed": "all",
  "batch_job.failed": "all",
  "batch_job.cancelled": "all",
  "batch_job.deleted": "all",
  "contact.attempt_ended": "all",
  "contact.suppressed": "all",
  "contact.erased": "all",
  "phone.erased": "admins",
  "suppressed_phones.added": "all",
  "suppressed_phones.removed": "all",
  "organization.created": "all",
  "organization.updated": "all",
  "api_key.created": "admins",
  "api_key.revoked": "admins",
  "webhook_endpoint.created": "admins",
  "webhook_endpoint.updated": "admins",
  "webhook_endpoint.deleted": "admins",
  "webhook_endpoint.failing": "admins",
  "webhook_endpoint.disabled": "admins",
  "webhook_endpoint.events_missed": "admins",
} as const satisfies Record<string, "all" | "admins">;

export type EventType = keyof typeof audiences;

export const eventTypes = Object.keys(audiences) as EventType[];

const isEventType = (type: string): type is EventType => Object.hasOwn(audiences, type);

/** The event type that a field of a request names. */
export function readEventType(type: string, field: string): EventType {
  if (isEventType(type)) return type;
  throw wrongField(field, `it must be one of ${eventTypes.join(", ")}`);
}

export const isForAdmins = (type: EventType): boolean => audiences[type] === "admins";

/** Each is one contact's, and is kept as long as its job. */
export type ContactEventType = Extract<EventType, `contact.${string}`>;

/**
 * Who did it, but for a call with an API key: somebody at the command line; the service as its settings say; a job's
 * time; the end of a lease; a job that pauses itself; a worker that reports.
 */
export const ownActors = [
  "command_line",
  "service",
  "scheduler",
  "lease_expiry",
  "breaker",
  "worker",
] as const;

export type OwnActor = (typeof ownActors)[number];

export type Actor = { readonly apiKeyId: string } | OwnActor;

/** Who did it, and under which request id; empty if under none. */
export type By = { readonly actor: Actor; readonly requestId: string };

/** An event that is to be written. */
export type NewEvent = By & {
  readonly type: EventType;
  readonly batchJobId?: string;
  /** Of the job, after it. */
  readonly revision?: number;
  /** Of the contact that it is about. */
  readonly number?: number;
  readonly data?: object;
};

/** Takes an event of a transaction, which is written when all else is. */
export type Tell = (event: NewEvent) => void;

/** How many contacts a job has, and how many of them are in each of the statuses that are stored. */
export type ContactCounts = Readonly<Record<StoredContactStatus | "total", number>>;

/** What is told of an attempt. */
export type AttemptEnded = {
  readonly attempt: number;
  readonly outcome: Outcome;
  /** What the contact is after it. */
  readonly status: StoredContactStatus;
  readonly nextAttemptAt: string | null;
  readonly leasedAt: string;
  readonly endedAt: string;
  readonly reportedAt: string | null;
  readonly errorCode: string | null;
  readonly callDurationMs: number | null;
  readonly providerCallId: string | null;
  readonly workerId: string;
};

/** An event as the log has it. */
export type LoggedEvent = {
  readonly sequence: number;
  readonly type: EventType;
  readonly occurredAt: Date;
  readonly actor: OwnActor | "api_key";
  readonly apiKeyId: string | null;
  readonly apiKeyName: string | null;
  readonly requestId: string;
  readonly batchJobId: string | null;
  readonly revision: number | null;
  readonly number: number | null;
  readonly data: Readonly<Record<string, unknown>> | null;
  /** About what it takes in an answer. */
  readonly bytes: number;
};
