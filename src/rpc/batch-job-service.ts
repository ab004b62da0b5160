import { createHash } from "node:crypto";
import { type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { BatchJobs, CommandRequest, JobCommandRequest } from "../jobs/batch-jobs.ts";
import type { JobStatus } from "../domain/batch-job.ts";
import type { ContactInput } from "../gen/callsheet/v1/batch_job_pb.ts";
import type { BatchJobService } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import {
  readDuration,
  protoStatuses,
  readContactStatuses,
  readOutcomes,
  readStatuses,
  toAttempt,
  toBatchJob,
  toContact,
  toRejectedContact,
  toRejectedRow,
} from "./convert.ts";
import { readImport } from "./import-stream.ts";
import type { ContactImport } from "../jobs/import/contact-import.ts";
import type { Watching } from "../jobs/watching.ts";
import { callerOf } from "./gate.ts";

const defaults = {
  concurrentCallLimit: 5,
  maxAttempts: 3,
  retryOn: ["no_answer", "busy", "timeout"],
  retryDelaysMs: [5 * 60_000, 30 * 60_000],
} as const;

const orElse = <T>(values: T[], fallback: readonly T[]): readonly T[] =>
  values.length > 0 ? values : fallback;

type Command = Message & { readonly requestId: string };
type JobCommand = Command & { readonly batchJobId: string; readonly expectedRevision?: bigint | undefined };

/** A hash of the request in which maps, whose order on the wire means nothing, are in order. */
function fingerprint(schema: DescMessage, request: Command & { contacts?: ContactInput[] }): Buffer {
  for (const contact of request.contacts ?? []) {
    contact.fields = Object.fromEntries(
      Object.entries(contact.fields).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
  return createHash("sha256").update(toBinary(schema, request)).digest();
}

const toCommand = (request: Command, context: HandlerContext): CommandRequest => ({
  caller: callerOf(context),
  requestId: request.requestId,
  fingerprint: () => fingerprint(context.method.input, request),
});

const toJobCommand = (request: JobCommand, context: HandlerContext): JobCommandRequest => ({
  ...toCommand(request, context),
  batchJobId: request.batchJobId,
  expectedRevision: request.expectedRevision,
});

const startMessages: Partial<Record<JobStatus, string>> = {
  pending: "Starting immediately",
  scheduled: "Cancelled scheduled job, starting immediately",
};

const rescheduleMessages: Partial<Record<JobStatus, string>> = {
  pending: "Scheduled successfully",
  scheduled: "Rescheduled successfully (old job cancelled)",
};

/** Converts, calls, converts: what each RPC does is in batch-jobs.ts. */
export function batchJobService(
  jobs: BatchJobs,
  watching: Watching,
  contactImport: ContactImport,
): ServiceImpl<typeof BatchJobService> {
  return {
    async createBatchJob(request, context) {
      const job = await jobs.create(toCommand(request, context), {
        name: request.name,
        description: request.description,
        fromPhoneNumberId: request.fromPhoneNumberId,
        contacts: request.contacts,
        concurrentCallLimit: request.concurrentCallLimit ?? defaults.concurrentCallLimit,
        maxAttempts: request.maxAttempts ?? defaults.maxAttempts,
        retryOn: orElse(readOutcomes(request.retryOn), defaults.retryOn),
        retryDelaysMs: orElse(
          request.retryDelays.map((delay, i) => readDuration(`retry_delays[${i}]`, delay)),
          defaults.retryDelaysMs,
        ),
        scheduledStartTime: request.scheduledStartTime,
        timeZone: request.timezone,
      });
      return {
        success: true,
        message: job.dueMs === null ? "Created" : "Created and scheduled",
        batchJobId: job.batchJobId,
        totalContacts: job.totalContacts,
        status: protoStatuses[job.status],
        ...(job.dueMs === null ? {} : { scheduledStartTime: timestampFromMs(job.dueMs) }),
        rejectedContactsCount: job.rejectedCount,
        rejectedContacts: job.rejected.map(toRejectedContact),
      };
    },

    async addContacts(request, context) {
      const added = await jobs.addContacts(toJobCommand(request, context), request.contacts);
      return {
        acceptedCount: added.acceptedCount,
        totalContacts: added.totalContacts,
        rejectedContactsCount: added.rejectedCount,
        rejectedContacts: added.rejected.map(toRejectedContact),
      };
    },

    async importContacts(parts, context) {
      const { header, file } = await readImport(parts);
      const { requestId, batchJobId, expectedRevision } = header;
      const imported = await contactImport.run(
        { caller: callerOf(context), requestId, batchJobId, expectedRevision },
        file,
      );
      return {
        acceptedCount: imported.acceptedCount,
        totalContacts: imported.totalContacts,
        rejectedContactsCount: imported.rejectedCount,
        rejectedContacts: imported.rejected.map(toRejectedRow),
      };
    },

    async startBatchJob(request, context) {
      const started = await jobs.start(toJobCommand(request, context));
      return {
        success: true,
        message: startMessages[started.statusBefore] ?? "",
        batchJobId: started.job.id,
        status: protoStatuses.running,
        contactsEnqueued: started.contactsEnqueued,
        redisJobCancelled: started.entryRemoved,
        startedAt: timestampFromMs(started.startedAtMs),
      };
    },

    async rescheduleBatchJob(request, context) {
      const moved = await jobs.reschedule(toJobCommand(request, context), {
        scheduledStartTime: request.scheduledStartTime,
        timeZone: request.timezone,
      });
      return {
        success: true,
        message: rescheduleMessages[moved.statusBefore] ?? "",
        batchJobId: moved.batchJobId,
        scheduledStartTime: timestampFromMs(moved.dueMs),
        status: protoStatuses.scheduled,
        oldJobCancelled: moved.entryRemoved,
        newScheduledJobId: moved.newScheduledJobId,
      };
    },

    async pauseBatchJob(request, context) {
      const { job } = await jobs.pause(toJobCommand(request, context));
      return { success: true, message: "Paused", batchJobId: job.id, status: protoStatuses.paused };
    },

    async resumeBatchJob(request, context) {
      const { job, status } = await jobs.resume(toJobCommand(request, context));
      return {
        success: true,
        message: status === "running" ? "Resumed" : "Ended, since no contact was open",
        batchJobId: job.id,
        status: protoStatuses[status],
      };
    },

    async cancelBatchJob(request, context) {
      const cancelled = await jobs.cancel(toJobCommand(request, context));
      return {
        success: true,
        message: cancelled.statusBefore === "scheduled" ? "Cancelled, with its scheduled start" : "Cancelled",
        batchJobId: cancelled.job.id,
        status: protoStatuses.cancelled,
        redisJobCancelled: cancelled.entryRemoved,
        contactsCancelled: cancelled.contactsCancelled,
      };
    },

    async deleteBatchJob(request, context) {
      await jobs.delete(toJobCommand(request, context));
      return {};
    },

    async getBatchJob(request, context) {
      const caller = callerOf(context);
      return { batchJob: toBatchJob(await jobs.get(caller, request.batchJobId), caller.role) };
    },

    async listBatchJobs(request, context) {
      const caller = callerOf(context);
      const page = await jobs.list(
        caller,
        { statuses: readStatuses(request.statuses), nameContains: request.nameContains },
        { size: request.pageSize, token: request.pageToken },
      );
      return {
        batchJobs: page.jobs.map((job) => toBatchJob(job, caller.role)),
        nextPageToken: page.nextPageToken,
      };
    },

    async getContact(request, context) {
      const { contact, attempts } = await jobs.getContact(
        callerOf(context),
        request.batchJobId,
        request.number,
      );
      return { contact: toContact(contact), attempts: attempts.map(toAttempt) };
    },

    async *watchBatchJobs(request, context) {
      const caller = callerOf(context);
      for await (const job of watching.watch(caller, request.batchJobIds, context.signal)) {
        yield job === undefined ? {} : { batchJob: toBatchJob(job, caller.role) };
      }
    },

    async listContacts(request, context) {
      const page = await jobs.listContacts(
        callerOf(context),
        request.batchJobId,
        readContactStatuses(request.statuses),
        { size: request.pageSize, token: request.pageToken },
      );
      return { contacts: page.contacts.map(toContact), nextPageToken: page.nextPageToken };
    },
  };
}
