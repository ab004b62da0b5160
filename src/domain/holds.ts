import type { BatchJob } from "./batch-job.ts";
import type { ContactStatus } from "./contact.ts";

/** Why a contact that is open is not being called, the first that is so. */
export const holdReasons = [
  "not_started",
  "paused",
  "calling_hours",
  "retry_delay",
  "job_limit",
  "organization_limit",
  "pace",
  "no_worker",
  "suppressed",
] as const;

export type HoldReason = (typeof holdReasons)[number];

/** What keeps so many contacts of a job from being leased now, and until when where that is known. */
export type Hold = { readonly reason: HoldReason; readonly contacts: number; readonly until: Date | null };

/** How things are around a running job. */
export type Surroundings = {
  /** Whether its calling hours allow calls now. */
  readonly isOpen: boolean;
  /** When they allow them next, where that has been reckoned. */
  readonly opensAt: Date | null;
  /** How many of its retries have come due; they are not counted beyond some. */
  readonly dueRetries: number;
  readonly nextRetryAt: Date | null;
  /** How many more leases it may have. */
  readonly jobFree: number;
  /** When its growing limit allows one more. */
  readonly jobFreeAt: Date | null;
  /** How many more leases its organization may have. */
  readonly organizationFree: number;
  /** When its pace, and that of its organization, allow the next call; null if they do now. */
  readonly nextCallAt: Date | null;
  /** Whether a worker has asked for its contacts within a minute; undefined where nobody knows. */
  readonly hasWorker: boolean | undefined;
};

type Why = Omit<Hold, "contacts">;

/** What holds the contacts that nothing of their own holds; undefined if they are being leased. */
function holdOfReady(around: Surroundings): Why | undefined {
  if (around.jobFree <= 0) return { reason: "job_limit", until: around.jobFreeAt };
  if (around.organizationFree <= 0) return { reason: "organization_limit", until: null };
  if (around.nextCallAt !== null) return { reason: "pace", until: around.nextCallAt };
  return around.hasWorker === false ? { reason: "no_worker", until: null } : undefined;
}

/** What holds all contacts of a job, whatever holds each of them. */
function holdOfJob(job: BatchJob, around: Surroundings | undefined): Why | undefined {
  switch (job.status) {
    case "pending":
      return { reason: "not_started", until: null };
    case "scheduled":
      return { reason: "not_started", until: job.scheduledStartTime };
    case "paused":
      return { reason: "paused", until: job.resumeAt };
    case "running":
      return around?.isOpen === false ? { reason: "calling_hours", until: around.opensAt } : undefined;
    case "completed":
    case "failed":
    case "cancelled":
      return undefined;
  }
}

/** Why contacts of the job are not being leased, each contact under one reason. */
export function holdsOf(job: BatchJob, around: Surroundings | undefined): Hold[] {
  const { pending, waiting_retry: waiting } = job.counts;
  const whole = holdOfJob(job, around);
  if (whole !== undefined) return withContacts([{ ...whole, contacts: pending + waiting }]);
  if (job.status !== "running" || around === undefined) return [];
  const due = Math.min(around.dueRetries, waiting);
  const why = holdOfReady(around);
  return withContacts([
    { reason: "retry_delay", contacts: waiting - due, until: around.nextRetryAt },
    ...(why === undefined ? [] : [{ ...why, contacts: pending + due }]),
  ]);
}

const withContacts = (holds: readonly Hold[]): Hold[] => holds.filter(({ contacts }) => contacts > 0);

/** Why one contact of the job is not being leased; undefined if nothing holds it, or it is not open. */
export function holdOf(
  contact: { readonly status: ContactStatus; readonly nextAttemptAt: Date | null },
  job: BatchJob,
  around: Surroundings | undefined,
  now: Date,
): Hold | undefined {
  if (contact.status !== "pending" && contact.status !== "waiting_retry") return undefined;
  const why = holdOfJob(job, around) ?? (around && holdOfOne(contact, around, now));
  return why && { ...why, contacts: 1 };
}

function holdOfOne(
  { status, nextAttemptAt }: Parameters<typeof holdOf>[0],
  around: Surroundings,
  now: Date,
): Why | undefined {
  if (status === "waiting_retry" && nextAttemptAt !== null && nextAttemptAt > now) {
    return { reason: "retry_delay", until: nextAttemptAt };
  }
  return holdOfReady(around);
}
