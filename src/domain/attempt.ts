import type { JobStatus } from "./batch-job.ts";
import type { Outcome, StoredContactStatus } from "./contact.ts";

/** What of a job decides about retries. */
export type RetryRules = {
  readonly status: JobStatus;
  readonly maxAttempts: number;
  readonly retryOn: readonly Outcome[];
  readonly retryDelaysMs: readonly number[];
};

export type Attempt = {
  /** From 1 inside its contact. */
  readonly attempt: number;
  /** False while nobody has reported it, even if the lease has run out. */
  readonly isReported: boolean;
};

export type ContactState = {
  readonly status: StoredContactStatus;
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
};

/** The contact's state after its last attempt ended so. */
export function afterOutcome(
  outcome: Outcome,
  attempt: number,
  rules: RetryRules,
  now: Date,
): { status: StoredContactStatus; nextAttemptAt: Date | null } {
  const goesOn = rules.status === "running" || rules.status === "paused";
  if (!goesOn || !rules.retryOn.includes(outcome) || attempt >= rules.maxAttempts) {
    return { status: outcome, nextAttemptAt: null };
  }
  const delayMs = rules.retryDelaysMs[attempt - 1] ?? rules.retryDelaysMs.at(-1) ?? 0;
  return { status: "waiting_retry", nextAttemptAt: new Date(now.getTime() + delayMs) };
}

/**
 * What to do with a report: record it, answer what was recorded before, or refuse it because another attempt was
 * opened. An attempt that ended without a report takes a late one while it is the contact's last.
 */
export function judgeReport(
  attempt: Attempt,
  contact: ContactState,
): "record" | "already_recorded" | "lease_expired" {
  if (attempt.isReported) return "already_recorded";
  return contact.attempts === attempt.attempt ? "record" : "lease_expired";
}
