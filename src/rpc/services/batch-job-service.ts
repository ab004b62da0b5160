import { timestampDate, timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { BatchJob, BatchJobs } from "../../jobs/batch-jobs.ts";
import type { ReadHistory } from "../../jobs/history.ts";
import type { Holds } from "../../jobs/holds.ts";
import type { PlanRun } from "../../jobs/plans.ts";
import type { Estimate } from "../../jobs/progress.ts";
import { readAssumptions, toPlan } from "../convert/plan.ts";
import type { BatchJobService, ImportContactsHeader } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import { toCallingHours } from "../convert/calling-hours.ts";
import {
  createMessage,
  pauseMessage,
  resumeMessage,
  startMessages,
  toCommand,
  toJobCommand,
  toNewJob,
} from "../commands.ts";
import {
  at,
  protoStatuses,
  readContactStatuses,
  toAttempt,
  toBatchJob,
  toContact,
  toHistory,
  toRejectedContact,
  toRejectedRow,
} from "../convert/convert.ts";
import { readFilter } from "../convert/job-filter.ts";
import { readImport } from "../convert/import-stream.ts";
import { readChanges } from "../convert/job-settings.ts";
import { readMove, toParts, toRescheduled } from "../convert/rescheduling.ts";
import type { ContactImport } from "../../jobs/import/contact-import.ts";
import type { ExportContacts } from "../../jobs/export/contact-export.ts";
import type { ExportRejectedRows } from "../../jobs/export/rejected-rows.ts";
import type { Watching } from "../../jobs/watching.ts";
import { callerOf } from "../gate/gate.ts";

/** Converts, calls, converts: what each RPC does is in batch-jobs.ts. */
export function batchJobService(
  jobs: BatchJobs,
  holds: Holds,
  planRun: PlanRun,
  estimate: Estimate,
  readHistory: ReadHistory,
  watching: Watching,
  contactImport: ContactImport,
  exportContacts: ExportContacts,
  exportRejectedRows: ExportRejectedRows,
): ServiceImpl<typeof BatchJobService> {
  /** A job with what is not read for lists of them. */
  async function showWhole(job: BatchJob, context: HandlerContext) {
    const [held, hours] = await Promise.all([holds.ofJob(job), jobs.callingHours(job)]);
    const finishAt = await estimate(job, hours);
    const batchJob = toBatchJob(job, callerOf(context).role, held);
    if (finishAt !== undefined) batchJob.estimatedFinishAt = timestampFromDate(finishAt);
    if (hours !== undefined) batchJob.callingHours = toCallingHours(hours);
    return batchJob;
  }

  return {
    async createBatchJob(request, context) {
      const job = await jobs.create(toCommand(request, context), toNewJob(request), request.defaultRegion);
      return {
        success: true,
        message: createMessage(job),
        batchJobId: job.batchJobId,
        totalContacts: job.totalContacts,
        status: protoStatuses[job.status],
        ...(job.scheduledStartTimeMs === null
          ? {}
          : { scheduledStartTime: timestampFromMs(job.scheduledStartTimeMs) }),
        rejectedContactsCount: job.rejectedCount,
        rejectedContacts: job.rejected.map(toRejectedContact),
      };
    },

    async addContacts(request, context) {
      const added = await jobs.addContacts(
        toJobCommand(request, context),
        request.contacts,
        request.defaultRegion,
      );
      return {
        acceptedCount: added.acceptedCount,
        totalContacts: added.totalContacts,
        rejectedContactsCount: added.rejectedCount,
        rejectedContacts: added.rejected.map(toRejectedContact),
      };
    },

    async importContacts(parts, context) {
      const { header, file } = await readImport<ImportContactsHeader>(parts);
      const { requestId, batchJobId, expectedRevision } = header;
      const { defaultRegion, encoding, delimiter, phoneColumn } = header;
      const options = { defaultRegion, encoding, delimiter, phoneColumn };
      const imported = await contactImport.run(
        { caller: callerOf(context), requestId, batchJobId, expectedRevision, options },
        file,
      );
      return {
        acceptedCount: imported.acceptedCount,
        totalContacts: imported.totalContacts,
        rejectedContactsCount: imported.rejectedCount,
        rejectedContacts: imported.rejected.map(toRejectedRow),
        importId: imported.importId ?? "",
        keptRejectedContactsCount: imported.keptRejectedCount ?? 0,
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
        requestedStartTime: request.scheduledStartTime,
        timeZone: request.timezone,
      });
      return toRescheduled(moved);
    },

    async *rescheduleBatchJobs(request, context) {
      const { filter, dryRun } = request;
      const move = readMove(request);
      const reschedule = dryRun ? jobs.rescheduleAllDry : jobs.rescheduleAll;
      const meant = filter ? readFilter(filter, "filter.") : {};
      yield* toParts(reschedule(toCommand(request, context), meant, move, context.signal), { dryRun });
    },

    async pauseBatchJob(request, context) {
      const command = toJobCommand(request, context);
      const { job } = await (request.resumeAt === undefined
        ? jobs.pause(command)
        : jobs.pauseUntil(command, timestampDate(request.resumeAt)));
      return { success: true, message: pauseMessage, batchJobId: job.id, status: protoStatuses.paused };
    },

    async resumeBatchJob(request, context) {
      const { job, status } = await jobs.resume(toJobCommand(request, context));
      return {
        success: true,
        message: resumeMessage(status),
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

    async updateBatchJob(request, context) {
      const { job } = await jobs.update(toJobCommand(request, context), readChanges(request));
      return { batchJob: await showWhole(job, context) };
    },

    async deleteBatchJob(request, context) {
      await jobs.delete(toJobCommand(request, context));
      return {};
    },

    async getBatchJob(request, context) {
      const job = await jobs.get(callerOf(context), request.batchJobId);
      const batchJob = await showWhole(job, context);
      if (request.includeHistory) batchJob.history = toHistory(await readHistory(job), job);
      return { batchJob };
    },

    async planBatchJob(request, context) {
      return toPlan(await planRun(callerOf(context), request.batchJobId, readAssumptions(request)));
    },

    async readStartTime({ scheduledStartTime: text, timezone }, context) {
      const start = await jobs.startTime(callerOf(context), text, timezone);
      return {
        scheduledStartTime: timestampFromDate(start.scheduledStartTime),
        timezone: start.timeZone,
        localTime: start.localTime,
        ...at("occursAgainAt", start.againAt ?? null),
      };
    },

    async listBatchJobs(request, context) {
      const caller = callerOf(context);
      const asked = { size: request.pageSize, token: request.pageToken };
      const page = await jobs.list(caller, readFilter(request), asked, context.signal);
      return {
        batchJobs: page.jobs.map((job) => toBatchJob(job, caller.role)),
        nextPageToken: page.nextPageToken,
      };
    },

    async countBatchJobs(request, context) {
      const counts = await jobs.countByStatus(
        callerOf(context),
        request.filter ? readFilter(request.filter, "filter.") : {},
        context.signal,
      );
      return { counts: counts.map(({ status, ...rest }) => ({ status: protoStatuses[status], ...rest })) };
    },

    async getContact(request, context) {
      const { job, contact, attempts } = await jobs.getContact(
        callerOf(context),
        request.batchJobId,
        request.number,
      );
      const hold = await holds.ofContact(job, contact);
      return {
        contact: toContact(contact, hold),
        attempts: attempts.map(toAttempt),
      };
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
        context.signal,
      );
      return {
        contacts: page.contacts.map((contact) => toContact(contact)),
        nextPageToken: page.nextPageToken,
      };
    },

    async findContacts(request, context) {
      const asked = { size: request.pageSize, token: request.pageToken };
      const { found, nextPageToken } = await jobs.findContacts(
        callerOf(context),
        request.phone,
        asked,
        context.signal,
      );
      return {
        contacts: found.map(({ job, contact }) => ({
          contact: toContact(contact),
          batchJobName: job.name,
          batchJobStatus: protoStatuses[job.status],
          batchJobCreatedAt: timestampFromDate(job.createdAt),
        })),
        nextPageToken,
      };
    },

    async eraseContacts(request, context) {
      const { erasedContacts } = await jobs.erase(toCommand(request, context), request.phone, request.reason);
      return { erasedContacts };
    },

    async *exportContacts(request, context) {
      const pieces = exportContacts(
        {
          caller: callerOf(context),
          batchJobId: request.batchJobId,
          statuses: readContactStatuses(request.statuses),
          attempts: request.includeAttempts ? "all" : "last",
        },
        context.signal,
      );
      for await (const csv of pieces) yield { csv };
    },

    async *exportRejectedRows({ batchJobId, importId }, context) {
      const pieces = exportRejectedRows({ caller: callerOf(context), batchJobId, importId }, context.signal);
      for await (const csv of pieces) yield { csv };
    },
  };
}
