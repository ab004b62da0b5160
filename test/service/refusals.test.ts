import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { type Method, answered, callerFor, everyCaller, everyClient } from "./callers.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const prepare = callerFor("plain fetch", service);
const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(2) };

async function create(fields: JsonObject = {}): Promise<string> {
  const { batchJobId } = await answered<{ batchJobId: string }>(
    prepare("createBatchJob", { ...aJob, ...fields }),
  );
  return batchJobId;
}

const unknown = randomUUID();
const pending = await create({ requestId: "the first one" });
const empty = await create({ contacts: [] });
const running = await create();
await prepare("startBatchJob", { batchJobId: running });
const cancelled = await create();
await prepare("cancelBatchJob", { batchJobId: cancelled });

type Row = {
  reason: string;
  code: string;
  status: number;
  method: Method;
  request: JsonObject;
  metadata?: JsonObject;
  fields?: string[];
};

const now = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const startTime = "2031-03-01T10:00:00";

const rows: Row[] = [
  {
    reason: "job_not_found",
    code: "not_found",
    status: 404,
    method: "getBatchJob",
    request: { batchJobId: unknown },
    metadata: { batchJobId: unknown },
  },
  {
    reason: "already_running",
    code: "failed_precondition",
    status: 400,
    method: "startBatchJob",
    request: { batchJobId: running },
    metadata: { batchJobId: running, status: "running", allowedStatuses: "pending,scheduled" },
  },
  {
    reason: "invalid_status",
    code: "failed_precondition",
    status: 400,
    method: "rescheduleBatchJob",
    request: { batchJobId: running, scheduledStartTime: startTime },
    metadata: { batchJobId: running, status: "running", allowedStatuses: "pending,scheduled" },
  },
  {
    reason: "already_terminal",
    code: "failed_precondition",
    status: 400,
    method: "cancelBatchJob",
    request: { batchJobId: cancelled },
    metadata: {
      batchJobId: cancelled,
      status: "cancelled",
      allowedStatuses: "pending,scheduled,running,paused",
    },
  },
  {
    reason: "no_contacts",
    code: "failed_precondition",
    status: 400,
    method: "startBatchJob",
    request: { batchJobId: empty },
    metadata: { batchJobId: empty, status: "pending" },
  },
  {
    reason: "invalid_timezone",
    code: "invalid_argument",
    status: 400,
    method: "rescheduleBatchJob",
    request: { batchJobId: pending, scheduledStartTime: startTime, timezone: "Mars/Olympus" },
    metadata: { field: "timezone" },
  },
  {
    reason: "invalid_datetime",
    code: "invalid_argument",
    status: 400,
    method: "rescheduleBatchJob",
    request: { batchJobId: pending, scheduledStartTime: "tomorrow at ten ☕" },
    metadata: { field: "scheduled_start_time" },
  },
  {
    reason: "past_scheduled_time",
    code: "invalid_argument",
    status: 400,
    method: "rescheduleBatchJob",
    request: { batchJobId: pending, scheduledStartTime: "2001-03-01T10:00:00Z" },
    metadata: { field: "scheduled_start_time", now },
  },
  {
    reason: "invalid_argument",
    code: "invalid_argument",
    status: 400,
    method: "createBatchJob",
    request: { maxAttempts: 11, fromPhoneNumberId: "pn_1" },
    metadata: { field: "name" },
    fields: ["name", "max_attempts"],
  },
  {
    reason: "no_valid_contacts",
    code: "invalid_argument",
    status: 400,
    method: "createBatchJob",
    request: { ...aJob, contacts: [{ phone: "1" }, { phone: "2" }] },
    metadata: { field: "contacts", rejectedContactsCount: "2", firstReason: "invalid_phone_format" },
  },
  {
    reason: "invalid_page_token",
    code: "invalid_argument",
    status: 400,
    method: "listBatchJobs",
    request: { pageToken: "page 2" },
    metadata: { field: "page_token" },
  },
  {
    reason: "request_id_reused",
    code: "invalid_argument",
    status: 400,
    method: "createBatchJob",
    request: { ...aJob, requestId: "the first one", name: "Another campaign" },
    metadata: { field: "request_id", requestId: "the first one" },
  },
  {
    reason: "revision_mismatch",
    code: "aborted",
    status: 409,
    method: "startBatchJob",
    request: { batchJobId: pending, expectedRevision: "7" },
    metadata: { batchJobId: pending, revision: "1", expectedRevision: "7" },
  },
];

describe.each(everyCaller)("%s", (name) => {
  const call = callerFor(name, service);

  test.each(rows)("is refused with $reason by $method", async ({ method, request, ...expected }) => {
    const { code, reason, metadata, fields } = expected;
    expect(await call(method, request)).toEqual({
      refused: {
        code,
        message: expect.stringMatching(/^.+\.$/),
        details: [
          {
            "@type": "google.rpc.ErrorInfo",
            reason: reason.toUpperCase(),
            domain: "callsheet",
            metadata: { code: reason, ...metadata },
          },
          ...[fields ?? []].filter((list) => list.length > 0).map(badRequest),
        ],
      },
    });
  });

  test("is refused with invalid_api_key without a key", async () => {
    expect(await callerFor(name, { ...service, authorization: "" })("listBatchJobs", {})).toEqual({
      refused: {
        code: "unauthenticated",
        message: expect.stringContaining("authorization: Bearer cs_…"),
        details: [
          {
            "@type": "google.rpc.ErrorInfo",
            reason: "INVALID_API_KEY",
            domain: "callsheet",
            metadata: { code: "invalid_api_key" },
          },
        ],
      },
    });
  });
});

const badRequest = (fields: string[]) => ({
  "@type": "google.rpc.BadRequest",
  fieldViolations: fields.map((field) => ({ field, description: expect.stringMatching(/./) })),
});

test.each(rows)("says $reason in the same words to every client", async ({ method, request }) => {
  const replies = await Promise.all(everyClient.map((name) => callerFor(name, service)(method, request)));
  const texts = replies.map((reply) => JSON.stringify(reply).replaceAll(/\d{4}-[\dT:.-]+Z/g, "now"));
  expect(new Set(texts).size).toBe(1);
});

test.each(rows)("answers $reason with HTTP status $status", async ({ method, request, status }) => {
  const response = await fetch(`${service.httpUrl}/callsheet.v1.BatchJobService/${rpcName(method)}`, {
    method: "POST",
    headers: { authorization: `Bearer ${service.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  await response.body?.cancel();
  expect(response.status).toBe(status);
});

const rpcName = (method: Method) => method.charAt(0).toUpperCase() + method.slice(1);

/** Does the work while nobody else can lock the job. */
async function whileLocked<T>(id: string, work: () => Promise<T>): Promise<T> {
  const trx = await db.startTransaction().execute();
  try {
    await trx.selectFrom("batch_jobs").select("id").where("id", "=", id).forUpdate().execute();
    return await work();
  } finally {
    await trx.rollback().execute();
  }
}

const clientsWithDeadlines = everyClient.filter((name) => name !== "plain fetch with GET for reads");

test.each(clientsWithDeadlines)(
  "a call of %s that ran out of time is done once when it is repeated with its id",
  async (name) => {
    const call = callerFor(name, service);
    const request = { batchJobId: await create(), requestId: randomUUID() };
    const late = await whileLocked(request.batchJobId, () =>
      call("startBatchJob", request, { timeoutMs: 100 }),
    );
    expect(late).toMatchObject({ refused: { code: "deadline_exceeded", details: [] } });
    expect(await call("startBatchJob", request)).toMatchObject({
      ok: { batchJobId: request.batchJobId, contactsEnqueued: 2 },
    });
    const { revision } = await db
      .selectFrom("batch_jobs")
      .select("revision")
      .where("id", "=", request.batchJobId)
      .executeTakeFirstOrThrow();
    expect(revision).toBe(2);
  },
);
