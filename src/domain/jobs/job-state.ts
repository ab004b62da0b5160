import { type JobStatus, statusAtEnd } from "./batch-job.ts";
import type { EventType } from "../event.ts";

/** What commands know of a job, and may change. Instants are in unix ms. */
export type JobState = {
  readonly id: string;
  readonly status: JobStatus;
  readonly failureReason: string | null;
  readonly revision: number;
  readonly timeZone: string;
  readonly requestedStartTime: string | null;
  readonly scheduledStartTimeMs: number | null;
  readonly scheduledJobId: string | null;
  readonly startedAtMs: number | null;
  readonly finishedAtMs: number | null;
  /** When it goes on by itself, of one that a command pauses so; every other command takes that back. */
  readonly resumeAtMs?: number | null;
  /** When it ends by itself. */
  readonly endAtMs: number | null;
  /** How many contacts it has, and how many of them are in some of the statuses. */
  readonly totalContacts: number;
  readonly pending: number;
  readonly waitingRetry: number;
  readonly dialing: number;
  readonly completed: number;
  /** How many sets of time zones its contacts are in; 0 if they may be called at any time. */
  readonly zoneSets: number;
};

export type StartTime = {
  readonly requestedStartTime: string;
  readonly timeZone: string;
  readonly scheduledStartTime: Date;
};

/*
 * What the commands make of a job for which the state table allows them. Each moves the revision.
 */

const moved = (job: JobState, changes: Partial<JobState>): JobState => ({
  ...job,
  resumeAtMs: null,
  ...changes,
  revision: job.revision + 1,
});

export const started = (job: JobState, nowMs: number): JobState =>
  moved(job, { status: "running", startedAtMs: nowMs, scheduledJobId: null });

export const scheduled = (job: JobState, start: StartTime, scheduledJobId: string): JobState =>
  moved(job, {
    status: "scheduled",
    requestedStartTime: start.requestedStartTime,
    timeZone: start.timeZone,
    scheduledStartTimeMs: start.scheduledStartTime.getTime(),
    scheduledJobId,
  });

export const paused = (job: JobState, resumeAtMs: number | null): JobState =>
  moved(job, { status: "paused", resumeAtMs });

/** A job of which nothing is open ends by it. */
export function resumed(job: JobState, nowMs: number): JobState {
  if (job.pending + job.waitingRetry + job.dialing > 0) return moved(job, { status: "running" });
  return statusAtEnd(job.completed) === "completed"
    ? moved(job, { status: "completed", finishedAtMs: nowMs })
    : moved(job, { status: "failed", finishedAtMs: nowMs, failureReason: "no_call_completed" });
}

/** What is told of a job that has ended by what let it go on. */
export const endingOf = ({ status, failureReason }: JobState): { type: EventType; data: object }[] =>
  status === "completed" || status === "failed"
    ? [{ type: `batch_job.${status}`, data: { failureReason } }]
    : [];

export const cancelled = (job: JobState, nowMs: number): JobState =>
  moved(job, { status: "cancelled", scheduledJobId: null, finishedAtMs: nowMs });
