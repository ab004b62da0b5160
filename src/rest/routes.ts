import { BatchJobService } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import {
  createMessage,
  pauseMessage,
  rescheduleMessages,
  resumeMessage,
  startMessages,
  toCommand,
  toJobCommand,
  toNewJob,
} from "../rpc/commands.ts";
import { protoContactStatuses, readContactStatuses } from "../rpc/convert/convert.ts";
import { callerOf } from "../rpc/gate/gate.ts";
import { nameFirstPhone, readNewJob } from "./create-body.ts";
import { mostBodyBytes } from "./form.ts";
import { checkOrganization, parse, parseJson } from "./input.ts";
import { type Given, type Route, fileRoute, route } from "./route.ts";
import * as schemas from "./openapi/schemas.ts";
import { statusesOf, statusesOfFilter, toDetail, toDuration, toJob } from "./words.ts";
import { toScheduleState } from "./schedule-words.ts";

const rpcs = BatchJobService.method;

/** Who may command, and who may read; a test holds them to what the RPCs say. */
const commanders = ["operator"] as const;
const readers = ["operator", "viewer"] as const;

const success = { success: true } as const;

const iso = (ms: number): string => new Date(ms).toISOString();

const onJob = ({ batchJobId, requestId, expectedRevision }: Given) => ({
  batchJobId,
  requestId,
  ...(expectedRevision !== undefined && { expectedRevision }),
});

const cancelMessages: Readonly<Record<string, string>> = {
  scheduled: "Scheduled job cancelled successfully",
  running: "Job was already running - cancelled remaining contacts",
};

/** The published paths: each row is served, is in the document, and calls what its RPC calls. */
export const routes: readonly Route[] = [
  route({
    name: "startBatchJob",
    summary: "Start a job now",
    method: "POST",
    paths: ["/batch/jobs/:batch_job_id/start", "/batch/:batch_job_id/start-now"],
    rpc: rpcs.startBatchJob,
    roles: commanders,
    command: "start",
    query: schemas.noQuery,
    answer: schemas.startAnswer,
    toRequest: onJob,
    async run({ jobs }, { message, context }) {
      const started = await jobs.start(toJobCommand(message, context));
      return {
        revision: started.revision,
        body: {
          ...success,
          message: startMessages[started.statusBefore] ?? "",
          batchJobId: started.job.id,
          status: "running" as const,
          contactsEnqueued: started.contactsEnqueued,
          redisJobCancelled: started.entryRemoved,
          startedAt: iso(started.startedAtMs),
        },
      };
    },
  }),
  ...(["PATCH", "POST"] as const).map((method) =>
    route({
      name: method === "PATCH" ? "rescheduleBatchJob" : "rescheduleBatchJobByPost",
      summary: "Give a job a start time, or another one",
      method,
      paths: ["/batch/jobs/:batch_job_id/reschedule"],
      rpc: rpcs.rescheduleBatchJob,
      roles: commanders,
      command: "reschedule",
      query: schemas.rescheduleQuery,
      answer: schemas.rescheduleAnswer,
      toRequest: (given, { query }) => ({ ...onJob(given), ...query }),
      async run({ jobs }, { message, context }) {
        const moved = await jobs.reschedule(toJobCommand(message, context), {
          requestedStartTime: message.scheduledStartTime,
          timeZone: message.timezone,
        });
        return {
          body: {
            ...success,
            message: rescheduleMessages[moved.statusBefore] ?? "",
            batchJobId: moved.batchJobId,
            scheduledStartTime: iso(moved.scheduledStartTimeMs),
            status: "scheduled" as const,
            oldJobCancelled: moved.entryRemoved,
            newScheduledJobId: moved.newScheduledJobId,
          },
        };
      },
    }),
  ),
  route({
    name: "createBatchJob",
    summary: "Create a job with its contacts, as JSON or as a form with a CSV file",
    method: "POST",
    paths: ["/batch/create"],
    rpc: rpcs.createBatchJob,
    roles: commanders,
    query: schemas.noQuery,
    bodies: [
      { type: "application/json", schema: schemas.createBody },
      { type: "multipart/form-data", schema: schemas.createForm },
    ],
    maxBytes: mostBodyBytes,
    answer: schemas.createAnswer,
    read: readNewJob,
    toRequest({ requestId }, { body }) {
      const { organizationId: _own, ...settings } = body?.settings ?? {};
      const given = Object.entries(settings).filter(([, value]) => value !== null && value !== undefined);
      return {
        requestId,
        ...Object.fromEntries(given),
        contacts: (body?.contacts ?? []).map((contact) =>
          // Another flaw is another request, and so is the same contact without it.
          "flaw" in contact
            ? { phone: contact.phone, fields: { [contact.flaw.field]: contact.flaw.rule } }
            : contact,
        ),
      };
    },
    async run({ jobs, estimatedCallMs }, { message, context, body }) {
      const contacts = body?.contacts ?? [];
      checkOrganization(body?.settings.organizationId ?? "", callerOf(context).organizationId);
      const settings = toNewJob(message);
      const created = await jobs
        .create(toCommand(message, context), { ...settings, contacts })
        .catch((thrown: unknown) => {
          throw body?.isFile === true ? thrown : nameFirstPhone(thrown, contacts);
        });
      const rejected =
        created.rejectedCount === 0
          ? ""
          : `; ${created.rejectedCount} of ${contacts.length} contacts were rejected`;
      return {
        body: {
          ...success,
          batchJobId: created.batchJobId,
          totalContacts: created.totalContacts,
          estimatedDuration: toDuration(created.totalContacts, settings.concurrentCallLimit, estimatedCallMs),
          estimatedCost: null,
          status: created.scheduledStartTimeMs === null ? ("pending" as const) : ("scheduled" as const),
          scheduledStartTime:
            created.scheduledStartTimeMs === null ? null : iso(created.scheduledStartTimeMs),
          message: createMessage(created) + rejected,
        },
      };
    },
  }),
  route({
    name: "listBatchJobs",
    summary: "List jobs, newest first",
    method: "GET",
    paths: ["/batch/jobs", "/batch/list"],
    rpc: rpcs.listBatchJobs,
    roles: readers,
    query: schemas.listQuery,
    answer: schemas.listAnswer,
    toRequest: () => ({}),
    async run({ jobs }, { context, query: { status, page, pageSize } }) {
      const statuses = status === "all" ? [] : [status];
      const found = await jobs.listPage(callerOf(context), statuses, { page, size: pageSize });
      return { body: { batchJobs: found.jobs.map(toJob), total: found.total, page, pageSize } };
    },
  }),
  route({
    name: "getBatchJob",
    summary: "A job, with one page of its contacts",
    method: "GET",
    paths: ["/batch/jobs/:batch_job_id", "/batch/:batch_job_id"],
    rpc: rpcs.getBatchJob,
    roles: readers,
    query: schemas.detailQuery,
    answer: schemas.detailAnswer,
    toRequest: ({ batchJobId }) => ({ batchJobId }),
    async run({ jobs }, { message, context, query }) {
      const { contactStatus, contactsPage, contactsPageSize } = query;
      const page = { page: contactsPage, size: contactsPageSize };
      const statuses = contactStatus === "all" ? [] : statusesOf(contactStatus);
      const detail = await jobs.detail(callerOf(context), message.batchJobId, statuses, page);
      return { revision: detail.job.revision, body: toDetail(detail, page) };
    },
  }),
  route({
    name: "cancelBatchJob",
    summary: "Cancel a job; calls in progress end by themselves",
    method: "POST",
    paths: ["/batch/jobs/:batch_job_id/cancel", "/batch/:batch_job_id/cancel"],
    rpc: rpcs.cancelBatchJob,
    roles: commanders,
    command: "cancel",
    query: schemas.noQuery,
    answer: schemas.cancelAnswer,
    toRequest: onJob,
    async run({ jobs }, { message, context }) {
      const cancelled = await jobs.cancel(toJobCommand(message, context));
      return {
        revision: cancelled.revision,
        body: {
          ...success,
          message: cancelMessages[cancelled.statusBefore] ?? "Job cancelled successfully",
          batchJobId: cancelled.job.id,
          redisJobCancelled: cancelled.entryRemoved,
          contactsCancelled: cancelled.contactsCancelled,
        },
      };
    },
  }),
  route({
    name: "pauseBatchJob",
    summary: "Pause a running job; calls in progress end by themselves",
    method: "POST",
    paths: ["/batch/:batch_job_id/pause"],
    rpc: rpcs.pauseBatchJob,
    roles: commanders,
    command: "pause",
    query: schemas.noQuery,
    answer: schemas.pauseAnswer,
    toRequest: onJob,
    async run({ jobs }, { message, context }) {
      const { job, revision } = await jobs.pause(toJobCommand(message, context));
      return {
        revision,
        body: { ...success, message: pauseMessage, batchJobId: job.id, status: "paused" as const },
      };
    },
  }),
  route({
    name: "resumeBatchJob",
    summary: "Let a paused job go on",
    method: "POST",
    paths: ["/batch/:batch_job_id/resume"],
    rpc: rpcs.resumeBatchJob,
    roles: commanders,
    command: "resume",
    query: schemas.noQuery,
    answer: schemas.pauseAnswer,
    toRequest: onJob,
    async run({ jobs }, { message, context }) {
      const { job, status, revision } = await jobs.resume(toJobCommand(message, context));
      return {
        revision,
        body: { ...success, message: resumeMessage(status), batchJobId: job.id, status },
      };
    },
  }),
  route({
    name: "deleteBatchJob",
    summary: "Delete a job that does not run, while none of its contacts is dialing",
    method: "DELETE",
    paths: ["/batch/:batch_job_id"],
    rpc: rpcs.deleteBatchJob,
    roles: commanders,
    command: "delete",
    query: schemas.noQuery,
    answer: schemas.deleteAnswer,
    toRequest: onJob,
    async run({ jobs }, { message, context }) {
      const { job } = await jobs.delete(toJobCommand(message, context));
      return { body: { ...success, message: "Deleted", batchJobId: job.id } };
    },
  }),
  route({
    name: "getScheduleState",
    summary: "What Postgres and Redis have of a job's next start",
    method: "GET",
    paths: ["/batch/jobs/:batch_job_id/redis-status"],
    rpc: rpcs.getBatchJob,
    roles: readers,
    query: schemas.noQuery,
    answer: schemas.scheduleAnswer,
    toRequest: ({ batchJobId }) => ({ batchJobId }),
    async run({ jobs }, { message, context }) {
      const state = await jobs.scheduleState(callerOf(context), message.batchJobId);
      return { revision: state.job.revision, body: toScheduleState(state) };
    },
  }),
  fileRoute({
    name: "exportBatchJob",
    summary: "A job's contacts, and what has become of them, as a CSV file",
    method: "POST",
    paths: ["/batch/jobs/:batch_job_id/export"],
    rpc: rpcs.exportContacts,
    roles: readers,
    query: schemas.noQuery,
    bodies: [{ type: "application/json", schema: schemas.exportBody }],
    answer: schemas.exportAnswer,
    read: ({ bytes }) => parse(schemas.exportBody, parseJson(bytes)),
    toRequest: ({ batchJobId }, { filter }) => ({
      batchJobId,
      statuses: statusesOfFilter(filter).map((status) => protoContactStatuses[status]),
    }),
    async *run({ exportContacts }, { message, context }) {
      const statuses = readContactStatuses(message.statuses);
      const request = { caller: callerOf(context), batchJobId: message.batchJobId, statuses };
      for await (const csv of exportContacts({ ...request, attempts: "last" }, context.signal)) yield { csv };
    },
  }),
];
