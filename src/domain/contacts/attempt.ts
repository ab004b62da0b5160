import type { JobStatus } from "../jobs/batch-job.ts";
import type { Outcome } from "./contact.ts";
import type { LeaseKey } from "./lease-id.ts";

/** An attempt as it is kept; one that goes on has no end and no outcome yet. */
export type Attempt = LeaseKey & {
  readonly workerId: string;
  readonly leasedAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
  readonly outcome: Outcome | null;
  readonly reportedAt: Date | null;
  readonly errorCode: string | null;
  readonly failureReason: string | null;
  readonly callDurationMs: number | null;
  readonly providerCallId: string | null;
};

/** What of a job's settings decides about retries. */
export type RetryRules = {
  readonly maxAttempts: number;
  readonly retryOn: readonly Outcome[];
  readonly retryDelaysMs: readonly number[];
};

/** How long after its attempt (numbered from 1) ended so a contact is called again; null if never. */
export function retryDelayMs(outcome: Outcome, attempt: number, rules: RetryRules): number | null {
  if (!rules.retryOn.includes(outcome) || attempt >= rules.maxAttempts) return null;
  return rules.retryDelaysMs[attempt - 1] ?? rules.retryDelaysMs.at(-1) ?? 0;
}

/** True while contacts of such a job are tried again; a cancelled one lets calls in progress end, and no more. */
export const isGoingOn = (status: JobStatus): boolean => status === "running" || status === "paused";

/**
 * What to do with a report of an attempt that has ended: record it, answer what was recorded before, or refuse it
 * because another attempt was opened. An attempt that ended without a report takes a late one while it is the
 * contact's last.
 */
export function judgeLateReport(
  attempt: { readonly attempt: number; readonly isReported: boolean },
  contact: { readonly attempts: number; readonly isLeased: boolean },
): "record" | "already_recorded" | "lease_expired" {
  if (attempt.isReported) return "already_recorded";
  return contact.attempts === attempt.attempt && !contact.isLeased ? "record" : "lease_expired";
}
