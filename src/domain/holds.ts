import type { BatchJob } from "./batch-job.ts";
import type { ContactStatus } from "./contact.ts";

/** Why a contact that is open is not being called, the first that is so. */
export const holdReasons = [
  "not_started",
  "paused",
  "retry_delay",
  "job_limit",
  "organization_limit",
  "no_worker",
] as const;

export type HoldReason = (typeof holdReasons)[number];

/** What keeps so many contacts of a job from being leased now, and until when where that is known. */
export type Hold = { readonly reason: HoldReason; readonly contacts: number; readonly until: Date | null };

/** How things are around a running job. */
export type Surroundings = {
  /** How many of its retries have come due; they are not counted beyond some. */
  readonly dueRetries: number;
  readonly nextRetryAt: Date | null;
  /** How many more leases its organization may have. */
  readonly organizationFree: number;
  /** Whether a worker has asked for its contacts within a minute; undefined where nobody knows. */
  readonly hasWorker: boolean | undefined;
};

/** What holds the contacts that nothing of their own holds; null if they are being leased. */
function holdOfAll(job: BatchJob, around: Surroundings): HoldReason | null {
  if (job.counts.dialing >= job.concurrentCallLimit) return "job_limit";
  if (around.organizationFree <= 0) return "organization_limit";
  return around.hasWorker === false ? "no_worker" : null;
}

/** What holds a whole job; undefined for one that is running, and for one that has ended, of which nothing is held. */
function holdOfJob({ status, scheduledStartTime }: BatchJob): Omit<Hold, "contacts"> | undefined {
  if (status === "pending") return { reason: "not_started", until: null };
  if (status === "scheduled") return { reason: "not_started", until: scheduledStartTime };
  return status === "paused" ? { reason: "paused", until: null } : undefined;
}

/** Why contacts of the job are not being leased, each contact under one reason. */
export function holdsOf(job: BatchJob, around: Surroundings | undefined): Hold[] {
  const { pending, waiting_retry: waiting } = job.counts;
  const whole = holdOfJob(job);
  if (whole !== undefined) return withContacts([{ ...whole, contacts: pending + waiting }]);
  if (job.status !== "running" || around === undefined) return [];
  const due = Math.min(around.dueRetries, waiting);
  const reason = holdOfAll(job, around);
  return withContacts([
    { reason: "retry_delay", contacts: waiting - due, until: around.nextRetryAt },
    ...(reason === null ? [] : [{ reason, contacts: pending + due, until: null }]),
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
  const whole = holdOfJob(job);
  if (whole !== undefined) return { ...whole, contacts: 1 };
  if (job.status !== "running" || around === undefined) return undefined;
  const { nextAttemptAt } = contact;
  if (contact.status === "waiting_retry" && nextAttemptAt !== null && nextAttemptAt > now) {
    return { reason: "retry_delay", contacts: 1, until: nextAttemptAt };
  }
  const reason = holdOfAll(job, around);
  return reason === null ? undefined : { reason, contacts: 1, until: null };
}
