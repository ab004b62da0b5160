import { createHash } from "node:crypto";
import { type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { JobStatus } from "../domain/jobs/batch-job.ts";
import type { ContactInput } from "../gen/callsheet/v1/batch_job_pb.ts";
import type { CreateBatchJobRequest } from "../gen/callsheet/v1/batch_job_service_pb.ts";
import type { CommandRequest, JobCommandRequest, NewJob } from "../jobs/batch-jobs.ts";
import { readContactStatuses } from "./convert/convert.ts";
import { callerOf } from "./gate/gate.ts";
import { readSettings } from "./convert/job-settings.ts";
import { traceOf } from "./calls/tracing.ts";

type Command = Message & { readonly requestId: string };
type JobCommand = Command & { readonly batchJobId: string; readonly expectedRevision?: bigint | undefined };
type Context = Pick<HandlerContext, "values" | "method">;

const inOrder = (map: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1)));

/** A hash of the request in which maps, whose order on the wire means nothing, are in order. */
function fingerprint(
  schema: DescMessage,
  request: Command & {
    contacts?: ContactInput[];
    labels?: Record<string, string>;
    filter?: { labels: Record<string, string> };
  },
): Buffer {
  for (const contact of request.contacts ?? []) contact.fields = inOrder(contact.fields);
  if (request.labels) request.labels = inOrder(request.labels);
  if (request.filter) request.filter.labels = inOrder(request.filter.labels);
  return createHash("sha256").update(toBinary(schema, request)).digest();
}

/** A request as a command: whichever way it came, the same request is the same command. */
export const toCommand = (request: Command, context: Context): CommandRequest => ({
  caller: callerOf(context),
  requestId: request.requestId,
  fingerprint: () => fingerprint(context.method.input, request),
  trace: traceOf(context),
});

export const toJobCommand = (request: JobCommand, context: Context): JobCommandRequest => ({
  ...toCommand(request, context),
  batchJobId: request.batchJobId,
  expectedRevision: request.expectedRevision,
});

function checkOneSource({ contacts, copyContacts }: CreateBatchJobRequest): void {
  if (copyContacts === undefined || contacts.length === 0) return;
  throw new BatchJobError(
    "invalid_argument",
    "The request has both contacts and copy_contacts; give one of them, and add the others with AddContacts.",
    { field: "contacts" },
  );
}

/** The job that a request describes, with the settings that it does not give. */
export function toNewJob(request: CreateBatchJobRequest): NewJob {
  checkOneSource(request);
  return {
    ...readSettings(request),
    fromPhoneNumberId: request.fromPhoneNumberId,
    contacts: request.contacts,
    copyContacts: request.copyContacts && {
      batchJobId: request.copyContacts.batchJobId,
      statuses: readContactStatuses(request.copyContacts.statuses),
    },
    requestedStartTime: request.scheduledStartTime,
    timeZone: request.timezone,
    zonesFromPhone: request.zonesFromPhone,
  };
}

export const createMessage = (created: { scheduledStartTimeMs: number | null }): string =>
  created.scheduledStartTimeMs === null ? "Created" : "Created and scheduled";

/** What a start says to people, by the status before it. */
export const startMessages: Partial<Record<JobStatus, string>> = {
  pending: "Starting immediately",
  scheduled: "Cancelled scheduled job, starting immediately",
};

export const rescheduleMessages: Partial<Record<JobStatus, string>> = {
  pending: "Scheduled successfully",
  scheduled: "Rescheduled successfully (old job cancelled)",
};

export const pauseMessage = "Paused";
export const resumeMessage = (status: JobStatus): string =>
  status === "running" ? "Resumed" : "Ended, since no contact was open";
