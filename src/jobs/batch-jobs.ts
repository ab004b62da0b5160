import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import { PhonesAreMissing, fileIsAdded, whenNothingKeepsOut } from "./adding.ts";
import { type CommandRequest, createCommandRunner } from "./command.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import { type Command, checkAllowed } from "../domain/batch-job.ts";
import {
  type ContactInput,
  type FlawedInput,
  type Outcome,
  type Rejection,
  duplicatePhone,
  sortOut,
} from "../domain/contact.ts";
import { checkFuture, parseStartTime } from "../domain/start-time.ts";
import { canonicalTimeZone } from "../domain/time-zone.ts";
import type { FanOut } from "../starting/fan-out.ts";
import {
  type Trx,
  cancelJob,
  countAdded,
  databaseNow,
  deleteJob,
  finishJob,
  insertJob,
  lockJob,
  openContacts,
  scheduleJob,
  setRunning,
  startJob,
} from "../postgres/batch-jobs.ts";
import { holdOffFiles } from "../postgres/adding.ts";
import { insertContacts } from "../postgres/contacts.ts";
import type { Shares } from "../postgres/connections.ts";
import { createOffsetPages } from "./offset-pages.ts";
import { createScheduleStates } from "./schedule-state.ts";
import { type Attempt, type BatchJob, type Contact, type Reads, createQueries } from "./queries.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { JobKey } from "../redis/keys.ts";
import type { Schedule } from "../redis/schedule.ts";

export type { Attempt, BatchJob, CommandRequest, Contact };

export type JobCommandRequest = CommandRequest & {
  readonly batchJobId: string;
  readonly expectedRevision: number | bigint | undefined;
};

export type NewJob = {
  readonly name: string;
  readonly description: string;
  readonly fromPhoneNumberId: string;
  readonly contacts: readonly (ContactInput | FlawedInput)[];
  readonly concurrentCallLimit: number;
  readonly maxAttempts: number;
  readonly retryOn: readonly Outcome[];
  readonly retryDelaysMs: readonly number[];
  /** Empty for a job that waits for a start. */
  readonly scheduledStartTime: string;
  readonly timeZone: string;
};

export type BatchJobs = ReturnType<typeof createBatchJobs>;

/** How many rejected contacts an answer shows. */
export const shownRejections = 100;

const summaryOf = (rejected: readonly Rejection[]) => ({
  rejectedCount: rejected.length,
  rejected: rejected.slice(0, shownRejections),
});

export const keyOf = (job: BatchJob) => ({ id: job.id, organizationId: job.organization_id });

export const check = (command: Command, job: BatchJob): void =>
  checkAllowed(command, { id: job.id, status: job.status, dialing: job.dialing_contacts });

function checkAnyAccepted(given: number, rejected: readonly Rejection[]): void {
  const first = rejected[0];
  if (first === undefined || rejected.length < given) return;
  throw new BatchJobError(
    "no_valid_contacts",
    `All ${given} contacts were rejected, the first as ${first.reason}: its ${first.field} ${first.rule}. Give at least one valid contact, or none at all.`,
    { field: "contacts", rejectedContactsCount: String(given), firstReason: first.reason },
  );
}

/** Locks the job that a command names, or refuses: job_not_found, then revision_mismatch. */
export async function lockForCommand(trx: Trx, request: JobCommandRequest): Promise<BatchJob> {
  const job = await lockJob(trx, request.caller.organizationId, request.batchJobId);
  checkRevision(job, request.expectedRevision);
  return job;
}

export function checkRevision(job: BatchJob, expected: JobCommandRequest["expectedRevision"]): void {
  if (expected === undefined || BigInt(expected) === BigInt(job.revision)) return;
  throw new BatchJobError(
    "revision_mismatch",
    `The batch job is at revision ${job.revision}, not ${expected}; read it again and decide anew.`,
    { batchJobId: job.id, revision: String(job.revision), expectedRevision: String(expected) },
  );
}

/** The instant that a start time means, refused in the order of the contract: zone, date-time, past. */
async function readStartTime(trx: Trx, text: string, zone: string) {
  const timeZone = canonicalTimeZone(zone);
  const at = parseStartTime(text, timeZone);
  checkFuture(at, await databaseNow(trx));
  return { requested: text, timeZone, at };
}

/** The commands on batch jobs, and the queries: what the API does, without its wire format. */
export function createBatchJobs(deps: {
  shares: Shares;
  reads: Reads;
  schedule: Schedule;
  contactList: ContactList;
  fanOut: FanOut;
  logger: Logger;
}) {
  const { shares, schedule, contactList } = deps;
  const run = createCommandRunner(deps);

  const removeEntry = async (scheduledJobId: string | null): Promise<boolean> =>
    scheduledJobId !== null && (await schedule.remove(scheduledJobId));

  /** Takes all that a job has in Redis away, once it is neither scheduled nor running. */
  async function leaveRedis(left: { job: JobKey; revision: number; scheduledJobId: string | null }) {
    const removed = await removeEntry(left.scheduledJobId);
    await contactList.unlink(left.job, left.revision);
    return removed;
  }

  return {
    ...createQueries(deps.reads),
    ...createOffsetPages(deps.reads),
    ...createScheduleStates({ ...deps.reads, schedule }),

    async create(request: CommandRequest, job: NewJob) {
      return await run(request, {
        rpc: "CreateBatchJob",
        async decide(trx) {
          const start =
            job.scheduledStartTime === ""
              ? undefined
              : await readStartTime(trx, job.scheduledStartTime, job.timeZone);
          const timeZone = start?.timeZone ?? canonicalTimeZone(job.timeZone);
          const { accepted, rejected } = sortOut(job.contacts);
          checkAnyAccepted(job.contacts.length, rejected);
          const row = await insertJob(trx, {
            organization_id: request.caller.organizationId,
            name: job.name,
            description: job.description,
            from_phone_number_id: job.fromPhoneNumberId,
            status: start === undefined ? "pending" : "scheduled",
            timezone: timeZone,
            requested_start_time: start?.requested ?? null,
            scheduled_at: start?.at ?? null,
            scheduled_job_id: start === undefined ? null : randomUUID(),
            concurrent_call_limit: job.concurrentCallLimit,
            max_attempts: job.maxAttempts,
            retry_on: [...job.retryOn],
            retry_delays_ms: [...job.retryDelaysMs],
            total_contacts: accepted.length,
            pending_contacts: accepted.length,
          });
          await insertContacts(trx, row.id, 0, accepted);
          return {
            batchJobId: row.id,
            status: row.status,
            totalContacts: row.total_contacts,
            scheduledJobId: row.scheduled_job_id,
            dueMs: row.scheduled_at?.getTime() ?? null,
            ...summaryOf(rejected),
          };
        },
        async redisHalf({ scheduledJobId, dueMs }) {
          if (scheduledJobId !== null && dueMs !== null) await schedule.add({ scheduledJobId, dueMs });
          return false;
        },
      });
    },

    async addContacts(request: JobCommandRequest, contacts: readonly ContactInput[]) {
      return await whenNothingKeepsOut(shares.of(request.caller.organizationId), () =>
        run(request, {
          rpc: "AddContacts",
          async decide(trx) {
            const { accepted, rejected } = sortOut(contacts);
            const job = await lockForCommand(trx, request);
            check("add_contacts", job);
            if (!(await holdOffFiles(trx, job.id))) throw fileIsAdded;
            if (!job.has_all_phones) throw new PhonesAreMissing(job.id);
            const duplicates = new Set(await insertContacts(trx, job.id, job.total_contacts, accepted));
            for (const { index, phone } of accepted) {
              if (duplicates.has(index)) rejected.push({ index, phone, ...duplicatePhone });
            }
            rejected.sort((a, b) => a.index - b.index);
            const acceptedCount = accepted.length - duplicates.size;
            const after =
              acceptedCount === 0
                ? job
                : await countAdded(trx, job.id, { count: acceptedCount, withPhones: true });
            return {
              acceptedCount,
              totalContacts: after.total_contacts,
              toFanOut: job.status === "running" && acceptedCount > 0 ? keyOf(job) : null,
              ...summaryOf(rejected),
            };
          },
          redisHalf: async () => false,
          toFanOut: (answer) => answer.toFanOut ?? undefined,
        }),
      );
    },

    async start(request: JobCommandRequest) {
      return await run(request, {
        rpc: "StartBatchJob",
        async decide(trx) {
          const before = await lockForCommand(trx, request);
          check("start", before);
          if (before.total_contacts === 0) {
            const metadata = { batchJobId: before.id, status: before.status };
            throw new BatchJobError(
              "no_contacts",
              "The batch job has no contacts; add some first.",
              metadata,
            );
          }
          const job = await startJob(trx, before.id, "command");
          return {
            job: keyOf(job),
            revision: job.revision,
            statusBefore: before.status,
            scheduledJobId: before.scheduled_job_id,
            contactsEnqueued: job.pending_contacts,
            startedAtMs: job.started_at?.getTime() ?? 0,
          };
        },
        async redisHalf({ job, revision, scheduledJobId }) {
          const removed = await removeEntry(scheduledJobId);
          await contactList.create(job, revision, "first");
          return removed;
        },
        toFanOut: ({ job }) => job,
      });
    },

    async reschedule(request: JobCommandRequest, time: { scheduledStartTime: string; timeZone: string }) {
      return await run(request, {
        rpc: "RescheduleBatchJob",
        async decide(trx) {
          const start = await readStartTime(trx, time.scheduledStartTime, time.timeZone);
          const before = await lockForCommand(trx, request);
          check("reschedule", before);
          const newScheduledJobId = randomUUID();
          await scheduleJob(trx, before.id, start, newScheduledJobId);
          return {
            batchJobId: before.id,
            statusBefore: before.status,
            oldScheduledJobId: before.scheduled_job_id,
            newScheduledJobId,
            dueMs: start.at.getTime(),
          };
        },
        async redisHalf({ oldScheduledJobId, newScheduledJobId, dueMs }) {
          await schedule.add({ scheduledJobId: newScheduledJobId, dueMs });
          return await removeEntry(oldScheduledJobId);
        },
      });
    },

    async pause(request: JobCommandRequest) {
      return await run(request, {
        rpc: "PauseBatchJob",
        async decide(trx) {
          const before = await lockForCommand(trx, request);
          check("pause", before);
          const { revision } = await setRunning(trx, before.id, false);
          return { job: keyOf(before), revision, scheduledJobId: null };
        },
        redisHalf: leaveRedis,
      });
    },

    async resume(request: JobCommandRequest) {
      return await run(request, {
        rpc: "ResumeBatchJob",
        async decide(trx) {
          const before = await lockForCommand(trx, request);
          check("resume", before);
          const { revision, status } =
            openContacts(before) === 0
              ? await finishJob(trx, before.id)
              : await setRunning(trx, before.id, true);
          return { job: keyOf(before), revision, status };
        },
        async redisHalf({ job, revision, status }) {
          if (status === "running") await contactList.create(job, revision);
          return false;
        },
        toFanOut: ({ job, status }) => (status === "running" ? job : undefined),
      });
    },

    async cancel(request: JobCommandRequest) {
      return await run(request, {
        rpc: "CancelBatchJob",
        async decide(trx) {
          const before = await lockForCommand(trx, request);
          check("cancel", before);
          const job = await cancelJob(trx, before.id);
          return {
            job: keyOf(job),
            revision: job.revision,
            statusBefore: before.status,
            scheduledJobId: before.scheduled_job_id,
            contactsCancelled: job.pending_contacts + job.waiting_retry_contacts,
          };
        },
        redisHalf: leaveRedis,
      });
    },

    async delete(request: JobCommandRequest) {
      return await run(request, {
        rpc: "DeleteBatchJob",
        async decide(trx) {
          const job = await lockForCommand(trx, request);
          check("delete", job);
          await deleteJob(trx, job);
          return { job: keyOf(job), revision: job.revision, scheduledJobId: job.scheduled_job_id };
        },
        redisHalf: leaveRedis,
      });
    },
  };
}
