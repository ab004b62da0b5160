import { isGoingOn, judgeLateReport, retryDelayMs } from "../domain/contacts/attempt.ts";
import { type BatchJob, openContacts, shownStatus } from "../domain/jobs/batch-job.ts";
import type { Tell } from "../domain/event.ts";
import { type CountChanges, moveCounts, noteMove } from "../postgres/contacts/contact-counts.ts";
import { type Trx, completeFailedJob, finishJob } from "../postgres/jobs/batch-jobs.ts";
import { telling } from "../postgres/events/events.ts";
import { type Held, lockFreeJobs, lockOrganization } from "../postgres/jobs/locks.ts";
import {
  type EndedAttempt,
  type LateReport,
  readEndedAttempts,
  recordLateReports,
} from "../postgres/leasing/late-reports.ts";
import type { Stopped } from "../postgres/leasing/lease-ends.ts";
import type { CallReport, Reported } from "./recorder.ts";

const by = { actor: "worker", requestId: "" } as const;

/** With the jobs that have ended by it. */
export type RecordedLate = { results: (Reported | Held)[]; finished: Stopped[] };

/**
 * Records reports of leases that are not live any more, as far as they still count. Jobs that somebody else has locked
 * are passed by.
 */
export async function reportLate(
  trx: Trx,
  organizationId: number,
  reports: readonly CallReport[],
): Promise<RecordedLate> {
  return await telling(trx, organizationId, (tell) => record(trx, organizationId, reports, tell));
}

async function record(
  trx: Trx,
  organizationId: number,
  reports: readonly CallReport[],
  tell: Tell,
): Promise<RecordedLate> {
  const { now } = await lockOrganization(trx, organizationId);
  const jobIds = [...new Set(reports.map(({ key }) => key.jobId))];
  const { jobs, held } = await lockFreeJobs(trx, organizationId, jobIds);
  const attempts = await readEndedAttempts(
    trx,
    organizationId,
    reports.map(({ key }) => key),
  );
  const changes: CountChanges = new Map();
  const late: LateReport[] = [];

  function note(hand: EndedAttempt, job: BatchJob, { outcome, details }: CallReport): void {
    const delayMs = isGoingOn(job.status) ? retryDelayMs(outcome, hand.attempt, job) : null;
    const wasSuppressed = hand.contact.status === "suppressed";
    const status = delayMs === null ? outcome : wasSuppressed ? "suppressed" : "waiting_retry";
    const nextAttemptAt = delayMs === null ? null : new Date(now.getTime() + delayMs);
    noteMove(changes, hand.jobId, hand.contact.status, status);
    late.push({ ...hand, outcome, details, nextAttemptAt, wasSuppressed });
    Object.assign(hand, { outcome, isReported: true });
    Object.assign(hand.contact, {
      status,
      nextAttemptAt: status === "waiting_retry" ? nextAttemptAt : null,
    });
  }

  const verdicts = reports.map((report, i) => {
    const hand = attempts[i];
    const job = hand && jobs.get(hand.jobId);
    if (hand === undefined || job === undefined) return "lease_expired";
    const verdict = judgeLateReport(hand, hand.contact);
    if (verdict === "record") note(hand, job, report);
    return verdict;
  });
  const results = verdicts.map((verdict, i): Reported | Held => {
    const hand = attempts[i];
    if (held.has(reports[i]?.key.jobId ?? "")) return "held";
    if (verdict === "lease_expired" || hand === undefined) return { kind: "gone" };
    const kind = verdict === "record" ? "recorded" : verdict;
    const { isLeased } = hand.contact;
    const contactStatus = isLeased
      ? "dialing"
      : shownStatus(hand.contact.status, jobs.get(hand.jobId)?.status ?? "running");
    const nextAttemptAt = contactStatus === "waiting_retry" ? hand.contact.nextAttemptAt : null;
    return { kind, outcome: hand.outcome, contactStatus, nextAttemptAt };
  });
  await recordLateReports(trx, organizationId, now, late, by, tell);
  await moveCounts(trx, organizationId, changes);

  const finished: Stopped[] = [];
  for (const [id, change] of changes) {
    const job = jobs.get(id);
    if (job?.failureReason === "no_call_completed" && (change.completed ?? 0) > 0) {
      await completeFailedJob(trx, organizationId, id, by, tell);
    }
    if (job?.status !== "running" || openContacts(job) + (change.waiting_retry ?? 0) > 0) continue;
    const { revision } = await finishJob(trx, organizationId, id, by, tell);
    finished.push({ id, revision, zoneSets: job.zoneSets });
  }
  return { results, finished };
}
