import type { DescField } from "@bufbuild/protobuf";
import { z } from "zod";
import { jobStatuses } from "../../domain/jobs/batch-job.ts";
import { CreateBatchJobRequestSchema } from "../../gen/callsheet/v1/batch_job_service_pb.ts";
import { boundsOf } from "../../rpc/requests/rules.ts";
import { contactWords, exportFilters } from "../words.ts";

/** The schemas that have a name in the document. */
export const named = z.registry<{ id: string }>();

function name<S extends z.ZodType>(id: string, schema: S): S {
  named.add(schema, { id });
  return schema;
}

const time = z.string().meta({ format: "date-time" });
const jobStatus = name("JobStatus", z.enum(jobStatuses));
const contactStatus = name("ContactStatus", z.enum(contactWords));
const count = z
  .int()
  .min(0)
  .max(2 ** 31 - 1);
const id = z.string().meta({ format: "uuid" });

const done = { success: z.literal(true), message: z.string(), batchJobId: id };

export const startAnswer = name(
  "StartAnswer",
  z.object({
    ...done,
    status: z.literal("running"),
    contactsEnqueued: count,
    redisJobCancelled: z.boolean(),
    startedAt: time,
  }),
);

export const rescheduleAnswer = name(
  "RescheduleAnswer",
  z.object({
    ...done,
    scheduledStartTime: time,
    status: z.literal("scheduled"),
    oldJobCancelled: z.boolean(),
    newScheduledJobId: id,
  }),
);

export const createAnswer = name(
  "CreateAnswer",
  z.object({
    success: z.literal(true),
    batchJobId: id,
    totalContacts: count,
    estimatedDuration: z.string().describe("Such as `15 minutes` or `2 hours`."),
    estimatedCost: z.null(),
    status: z.enum(["pending", "scheduled"]),
    scheduledStartTime: time.nullable(),
    message: z.string(),
  }),
);

export const cancelAnswer = name(
  "CancelAnswer",
  z.object({ ...done, redisJobCancelled: z.boolean(), contactsCancelled: count }),
);

export const pauseAnswer = name("PauseAnswer", z.object({ ...done, status: jobStatus }));
export const deleteAnswer = name("DeleteAnswer", z.object(done));

const job = z.object({
  id,
  name: z.string(),
  description: z.string().nullable(),
  status: jobStatus,
  organizationId: z.string(),
  agentId: z.null(),
  fromPhoneNumberId: z.string(),
  totalContacts: count,
  contactsProcessed: count.describe("Those whose status is final; not those that wait for a retry."),
  successfulCalls: count.describe("Those that are completed."),
  failedCalls: count.describe("Those that ended otherwise, but for the cancelled ones."),
  scheduledStartTime: time.nullable(),
  actualStartTime: time.nullable(),
  completedAt: time.nullable(),
  createdAt: time,
  concurrentCallLimit: count,
  retryPolicy: z.object({ maxAttempts: count, retryableStatuses: z.array(contactStatus) }),
});

export const listAnswer = name(
  "ListAnswer",
  z.object({
    batchJobs: z.array(name("BatchJob", job)),
    total: count.describe("How many jobs there are in all; of many the newest 100,000 count."),
    page: count,
    pageSize: count,
  }),
);

const contact = name(
  "Contact",
  z.object({
    id: z.string(),
    phoneNumber: z.string(),
    contactData: z
      .looseObject({ phone: z.string(), name: z.string().nullable() })
      .describe("Phone, name, and the fields of the contact."),
    status: contactStatus,
    errorCode: z.string().nullable(),
    attemptCount: count,
    maxAttempts: count,
    lastAttemptAt: time.nullable(),
    nextRetryAt: time.nullable(),
    completedAt: time.nullable(),
    roomName: z.string().nullable().describe("The provider's id of the call."),
    failureReason: z.string().nullable(),
    callDuration: z.int().nullable().describe("In seconds."),
  }),
);

export const detailAnswer = name(
  "DetailAnswer",
  job.extend({
    statusBreakdown: z
      .record(z.string(), count)
      .describe("How many contacts are in each status in which some are."),
    estimatedCompletionTime: time.nullable(),
    contacts: z.array(contact),
    contactsTotal: count,
    contactsPage: count,
    contactsPageSize: count,
    contactsHasMore: z.boolean(),
  }),
);

export const scheduleAnswer = name(
  "ScheduleAnswer",
  z.object({
    batchJobId: id,
    databaseStatus: jobStatus,
    scheduledJobId: id.nullable(),
    scheduledStartTime: time.nullable(),
    redisJobInfo: z
      .object({
        job_id: id,
        in_defer_queue: z.boolean().describe("Whether it is in the sorted set of starts."),
        job_metadata_exists: z.boolean(),
        scheduled_time: time.nullable(),
        note: z.string(),
      })
      .nullable(),
    note: z.string().nullable().describe("Why there is no redisJobInfo."),
  }),
);

export const failureAnswer = name(
  "Failure",
  z.object({
    success: z.literal(false),
    error: z.string().describe("One sentence that says what would have worked."),
    code: z.string(),
    detail: z.string().describe("The same in fixed words."),
  }),
);

/** What /docs shows is what it sends, unless somebody writes something else. */
const [startTime, timeZone] = ["2035-03-01T10:00:00", "America/New_York"];

export const noQuery = z.strictObject({});

export const rescheduleQuery = z.strictObject({
  scheduledStartTime: z
    .string("must be given")
    .describe("`YYYY-MM-DDTHH:MM[:SS]`, then nothing (the time in `timezone`), `Z` or an offset.")
    .meta({ examples: [startTime] }),
  timezone: z
    .string()
    .default("UTC")
    .describe("An IANA name.")
    .meta({ examples: [timeZone] }),
});

const whole = (least: number, most: number, fallback: number) => {
  const message = `must be a whole number from ${least} to ${most}`;
  return z.int(message).min(least, message).max(most, message).default(fallback);
};

const mostPages = 100_000_000;

export const listQuery = z.strictObject({
  status: z.enum([...jobStatuses, "all"], `must be all, or one of ${jobStatuses.join(", ")}`).default("all"),
  page: whole(1, mostPages, 1),
  pageSize: whole(1, 100, 20),
});

export const detailQuery = z.strictObject({
  contactStatus: z
    .enum([...contactWords, "all"], `must be all, or one of ${contactWords.join(", ")}`)
    .default("all"),
  contactsPage: whole(1, mostPages, 1),
  contactsPageSize: whole(1, 500, 50),
});

const created = CreateBatchJobRequestSchema.field;

const lengthsOf = (field: DescField) => {
  const { least, most } = boundsOf(field);
  return { ...(least > 0 ? { minLength: least } : {}), maxLength: most };
};

const rangeOf = (field: DescField) => {
  const { least, most } = boundsOf(field);
  return { minimum: least, maximum: most };
};

/** All of it is judged by the rules of CreateBatchJob, which count characters. */
const settings = {
  fromPhoneNumberId: z
    .string("must be a text")
    .meta({ ...lengthsOf(created.fromPhoneNumberId), examples: ["pn_1"] }),
  name: z.string("must be a text").meta({ ...lengthsOf(created.name), examples: ["Spring campaign"] }),
  description: z
    .string("must be a text")
    .meta(lengthsOf(created.description))
    .nullish()
    .meta({ examples: ["For customers"] }),
  concurrentCallLimit: z
    .int("must be a whole number")
    .meta(rangeOf(created.concurrentCallLimit))
    .nullish()
    .describe("5 if not given.")
    .meta({ examples: [5] }),
  maxAttempts: z
    .int("must be a whole number")
    .meta(rangeOf(created.maxAttempts))
    .nullish()
    .describe("3 if not given.")
    .meta({ examples: [3] }),
  scheduledStartTime: z
    .string("must be a text")
    .nullish()
    .describe("As for a reschedule.")
    .meta({ examples: [startTime] }),
  timezone: z
    .string("must be a text")
    .nullish()
    .meta({ examples: [timeZone] }),
  organizationId: z
    .string("must be a text")
    .nullish()
    .describe("The key's own, if given.")
    .meta({ examples: [""] }),
};

export const mostContacts = boundsOf(created.contacts).most;

const contactInput = z
  .looseObject({}, "must be an object")
  .meta({
    properties: { phone: { type: "string" }, name: { type: "string" } },
    required: ["phone"],
    examples: [{ phone: "+14155550100", name: "Ada", city: "Berlin" }],
  })
  .describe("Further keys are its fields: texts, numbers or booleans; null is left out.");

const tooMany = `must be 1 to ${mostContacts} contacts`;

export const createBody = name(
  "CreateBody",
  z.strictObject({
    ...settings,
    contacts: z
      .array(name("ContactInput", contactInput), "must be a list")
      .min(1, tooMany)
      .max(mostContacts, tooMany),
  }),
);

export const settingsForm = z.strictObject(settings);

export const createForm = name(
  "CreateForm",
  settingsForm.extend({
    file: z
      .string()
      .meta({ format: "binary" })
      .describe(
        "CSV of at most 10 MB and 10,000 rows; its first line names its columns, one of them `phone`.",
      ),
  }),
);

export const exportBody = name(
  "ExportBody",
  z.strictObject({
    format: z.literal("csv", "must be csv").default("csv"),
    filter: z
      .enum(exportFilters, `must be one of ${exportFilters.join(", ")}`)
      .default("all")
      .describe("`failed` are those that ended without a completed call, but for the cancelled ones."),
  }),
);

export const exportAnswer = z
  .string()
  .describe(
    "CSV with the columns phone, name, one for each field, then status, attempts, last_outcome, error_code, failure_reason, call_duration_seconds and last_attempt_at. A file that breaks off ends with its connection.",
  );
