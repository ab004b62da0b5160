import { randomUUID } from "node:crypto";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type { EventType } from "../../domain/event.ts";
import {
  type JobState,
  cancelled,
  endingOf,
  paused,
  resumed,
  scheduled,
  started,
} from "../../domain/jobs/job-state.ts";
import type { JobKey } from "../../redis/keys.ts";
import type { JobCommandRequest } from "./checks.ts";
import type { Decision, View } from "./judgement.ts";
import { checkAhead, checkStartsBeforeEnd, readStartTime } from "./new-job.ts";
import type { RedisHalf } from "./redis-halves.ts";

/*
 * The commands on a job that write nothing but its row: each decides what it makes of the job and what it answers, and
 * says what its answer means for Redis. Answers are kept for a day, so that those of an earlier version may come back.
 */

export type JobCommand<A, G> = {
  readonly rpc: string;
  /** As what it is told. */
  readonly type: EventType;
  readonly decide: (view: View, request: JobCommandRequest, given: G) => Decision<A>;
  readonly redisHalf: (answer: A) => RedisHalf;
};

type Left = InSets & {
  readonly job: JobKey;
  readonly revision: number;
  readonly scheduledJobId: string | null;
};

/** How many sets of time zones the contacts of a job are in; an earlier version does not say it. */
type InSets = { readonly zoneSets?: number };

const keyOf = ({ id }: JobState, { caller }: JobCommandRequest): JobKey => ({
  id,
  organizationId: caller.organizationId,
});

/** What becomes of all that a job has in Redis, once it is neither scheduled nor running. */
const leaveRedis = ({ job, revision, scheduledJobId, zoneSets }: Left): RedisHalf => ({
  takeOff: scheduledJobId,
  list: { change: "unlink", key: job, revision, zoneSets },
});

type Started = Left & {
  readonly statusBefore: JobStatus;
  readonly contactsEnqueued: number;
  readonly startedAtMs: number;
};

const start: JobCommand<Started, void> = {
  rpc: "StartBatchJob",
  type: "batch_job.started",
  decide({ now, jobFor }, request) {
    const before = jobFor("start", request);
    if (before.totalContacts === 0) {
      const metadata = { batchJobId: before.id, status: before.status };
      throw new BatchJobError("no_contacts", "The batch job has no contacts; add some first.", metadata);
    }
    const job = started(before, now.getTime());
    return {
      changed: job,
      trace: request.trace,
      answer: {
        job: keyOf(job, request),
        revision: job.revision,
        statusBefore: before.status,
        scheduledJobId: before.scheduledJobId,
        contactsEnqueued: job.pending,
        zoneSets: job.zoneSets,
        startedAtMs: now.getTime(),
      },
      data: { statusBefore: before.status, contactsEnqueued: job.pending },
    };
  },
  redisHalf: ({ job, revision, scheduledJobId, contactsEnqueued, zoneSets }) => ({
    takeOff: scheduledJobId,
    list: { change: "begin", key: job, revision, totalContacts: contactsEnqueued, zoneSets },
  }),
};

export type Rescheduled = {
  readonly batchJobId: string;
  readonly statusBefore: JobStatus;
  readonly oldScheduledJobId: string | null;
  readonly newScheduledJobId: string;
  /** The scheduled start time, by the name that it has in kept answers (kept-answers.ts). */
  readonly dueMs: number;
};

const reschedule: JobCommand<Rescheduled, { requestedStartTime: string; timeZone: string }> = {
  rpc: "RescheduleBatchJob",
  type: "batch_job.scheduled",
  decide({ now, jobFor }, request, { requestedStartTime, timeZone }) {
    const time = readStartTime(requestedStartTime, timeZone, now);
    const before = jobFor("reschedule", request);
    const endAt = before.endAtMs === null ? null : new Date(before.endAtMs);
    checkStartsBeforeEnd(time.scheduledStartTime, endAt, "scheduled_start_time");
    const newScheduledJobId = randomUUID();
    return {
      changed: scheduled(before, time, newScheduledJobId),
      trace: request.trace,
      answer: {
        batchJobId: before.id,
        statusBefore: before.status,
        oldScheduledJobId: before.scheduledJobId,
        newScheduledJobId,
        dueMs: time.scheduledStartTime.getTime(),
      },
      data: {
        oldScheduledStartTime:
          before.scheduledStartTimeMs === null ? null : new Date(before.scheduledStartTimeMs),
        newScheduledStartTime: time.scheduledStartTime,
        timezone: time.timeZone,
        requestedStartTime: time.requestedStartTime,
      },
    };
  },
  redisHalf: ({ oldScheduledJobId, newScheduledJobId, dueMs }) => ({
    put: { scheduledJobId: newScheduledJobId, scheduledStartTimeMs: dueMs },
    takeOff: oldScheduledJobId,
  }),
};

const pause: JobCommand<Left, { resumeAt: Date | null }> = {
  rpc: "PauseBatchJob",
  type: "batch_job.paused",
  decide({ now, jobFor }, request, { resumeAt }) {
    if (resumeAt !== null) checkAhead(resumeAt, now, { field: "resume_at", what: "go on" });
    const job = paused(jobFor("pause", request), resumeAt?.getTime() ?? null);
    return {
      changed: job,
      answer: {
        job: keyOf(job, request),
        revision: job.revision,
        scheduledJobId: null,
        zoneSets: job.zoneSets,
      },
      ...(resumeAt === null ? {} : { data: { resumeAt } }),
    };
  },
  redisHalf: leaveRedis,
};

type Resumed = Omit<Left, "scheduledJobId"> & { readonly status: JobStatus };

const resume: JobCommand<Resumed, void> = {
  rpc: "ResumeBatchJob",
  type: "batch_job.resumed",
  decide({ now, jobFor }, request) {
    const job = resumed(jobFor("resume", request), now.getTime());
    return {
      changed: job,
      answer: {
        job: keyOf(job, request),
        revision: job.revision,
        status: job.status,
        zoneSets: job.zoneSets,
      },
      data: { status: job.status },
      further: endingOf(job),
    };
  },
  redisHalf: ({ job, revision, status, zoneSets }) =>
    status === "running" ? { list: { change: "create", key: job, revision, zoneSets } } : {},
};

type Cancelled = Left & { readonly statusBefore: JobStatus; readonly contactsCancelled: number };

const cancel: JobCommand<Cancelled, void> = {
  rpc: "CancelBatchJob",
  type: "batch_job.cancelled",
  decide({ now, jobFor }, request) {
    const before = jobFor("cancel", request);
    const job = cancelled(before, now.getTime());
    return {
      changed: job,
      answer: {
        job: keyOf(job, request),
        revision: job.revision,
        statusBefore: before.status,
        scheduledJobId: before.scheduledJobId,
        contactsCancelled: job.pending + job.waitingRetry,
        zoneSets: job.zoneSets,
      },
      data: { statusBefore: before.status, contactsCancelled: job.pending + job.waitingRetry },
    };
  },
  redisHalf: leaveRedis,
};

const remove: JobCommand<Left, void> = {
  rpc: "DeleteBatchJob",
  type: "batch_job.deleted",
  decide({ jobFor }, request) {
    const job = jobFor("delete", request);
    const { revision, scheduledJobId, status, totalContacts, zoneSets } = job;
    return {
      deleted: job,
      answer: { job: keyOf(job, request), revision, scheduledJobId, zoneSets },
      data: { statusBefore: status, totalContacts },
    };
  },
  redisHalf: leaveRedis,
};

export const jobCommands = { start, reschedule, pause, resume, cancel, delete: remove };
