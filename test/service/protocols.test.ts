import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { answered, callerFor, everyCaller, everyClient } from "./callers.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

/** What prepares a test is always done in the same way. */
const prepare = callerFor("plain fetch", service);

const uuid = expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?Z$/);

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1", contacts: makeContacts(2) };

async function create(fields: JsonObject = {}): Promise<string> {
  const { batchJobId } = await answered<{ batchJobId: string }>(
    prepare("createBatchJob", { ...aJob, ...fields }),
  );
  return batchJobId;
}

const noContacts = {
  total: 0,
  pending: 0,
  waitingRetry: 0,
  dialing: 0,
  completed: 0,
  noAnswer: 0,
  busy: 0,
  timeout: 0,
  voicemail: 0,
  blocked: 0,
  invalidNumber: 0,
  carrierError: 0,
  failed: 0,
  unknown: 0,
  suppressed: 0,
  expired: 0,
  cancelled: 0,
};

describe.each(everyCaller)("%s", (name) => {
  const call = callerFor(name, service);

  test("creates a job that waits for its start", async () => {
    expect(await call("createBatchJob", { name: "Empty", fromPhoneNumberId: "pn_1" })).toEqual({
      ok: {
        success: true,
        message: "Created",
        batchJobId: uuid,
        totalContacts: 0,
        status: "BATCH_JOB_STATUS_PENDING",
        rejectedContactsCount: 0,
        rejectedContacts: [],
      },
    });
  });

  test("creates a scheduled job and is told of the contacts that were rejected", async () => {
    const contacts = [...makeContacts(1), { phone: "0415" }, ...makeContacts(1)];
    const time = { scheduledStartTime: "2031-07-01T10:00:00.5", timezone: "america/new_york" };
    expect(await call("createBatchJob", { ...aJob, contacts, ...time })).toEqual({
      ok: {
        success: true,
        message: "Created and scheduled",
        batchJobId: uuid,
        totalContacts: 1,
        status: "BATCH_JOB_STATUS_SCHEDULED",
        scheduledStartTime: "2031-07-01T14:00:00.500Z",
        rejectedContactsCount: 2,
        rejectedContacts: [
          {
            index: 1,
            phone: "0415",
            reason: "REJECTION_REASON_INVALID_PHONE_FORMAT",
            field: "phone",
            rule: expect.stringMatching(/^must /),
          },
          {
            index: 2,
            phone: "+14155000000",
            reason: "REJECTION_REASON_DUPLICATE_PHONE",
            field: "phone",
            rule: expect.stringMatching(/^must /),
          },
        ],
      },
    });
  });

  test("adds contacts", async () => {
    const batchJobId = await create();
    expect(await call("addContacts", { batchJobId, contacts: makeContacts(3) })).toEqual({
      ok: {
        acceptedCount: 1,
        totalContacts: 3,
        rejectedContactsCount: 2,
        rejectedContacts: [
          {
            index: 0,
            phone: "+14155000000",
            reason: "REJECTION_REASON_DUPLICATE_PHONE",
            field: "phone",
            rule: expect.stringMatching(/^must /),
          },
          {
            index: 1,
            phone: "+14155000001",
            reason: "REJECTION_REASON_DUPLICATE_PHONE",
            field: "phone",
            rule: expect.stringMatching(/^must /),
          },
        ],
      },
    });
  });

  test("schedules a pending job", async () => {
    const batchJobId = await create();
    const time = { scheduledStartTime: "2031-03-01T10:00:00", timezone: "America/New_York" };
    expect(await call("rescheduleBatchJob", { batchJobId, ...time })).toEqual({
      ok: {
        success: true,
        message: "Scheduled successfully",
        batchJobId,
        scheduledStartTime: "2031-03-01T15:00:00Z",
        status: "BATCH_JOB_STATUS_SCHEDULED",
        oldJobCancelled: false,
        newScheduledJobId: uuid,
      },
    });
  });

  test("moves a scheduled job", async () => {
    const batchJobId = await create({ scheduledStartTime: "2031-03-01T10:00:00Z" });
    const time = { scheduledStartTime: "2031-03-01T10:00:00+05:30" };
    expect(await call("rescheduleBatchJob", { batchJobId, ...time })).toEqual({
      ok: {
        success: true,
        message: "Rescheduled successfully (old job cancelled)",
        batchJobId,
        scheduledStartTime: "2031-03-01T04:30:00Z",
        status: "BATCH_JOB_STATUS_SCHEDULED",
        oldJobCancelled: true,
        newScheduledJobId: uuid,
      },
    });
  });

  test("starts a pending job", async () => {
    const batchJobId = await create();
    expect(await call("startBatchJob", { batchJobId })).toEqual({
      ok: {
        success: true,
        message: "Starting immediately",
        batchJobId,
        status: "BATCH_JOB_STATUS_RUNNING",
        contactsEnqueued: 2,
        redisJobCancelled: false,
        startedAt: instant,
      },
    });
  });

  test("starts a scheduled job", async () => {
    const batchJobId = await create({ scheduledStartTime: "2031-03-01T10:00:00Z" });
    expect(await call("startBatchJob", { batchJobId })).toEqual({
      ok: {
        success: true,
        message: "Cancelled scheduled job, starting immediately",
        batchJobId,
        status: "BATCH_JOB_STATUS_RUNNING",
        contactsEnqueued: 2,
        redisJobCancelled: true,
        startedAt: instant,
      },
    });
  });

  test("cancels a scheduled job", async () => {
    const batchJobId = await create({ scheduledStartTime: "2031-03-01T10:00:00Z" });
    expect(await call("cancelBatchJob", { batchJobId })).toEqual({
      ok: {
        success: true,
        message: "Cancelled, with its scheduled start",
        batchJobId,
        status: "BATCH_JOB_STATUS_CANCELLED",
        redisJobCancelled: true,
        contactsCancelled: 2,
      },
    });
  });

  test("sees a whole job", async () => {
    const batchJobId = await create({
      description: "first line\n\tsecond line",
      concurrentCallLimit: 1000,
      maxAttempts: 1,
      retryOn: ["OUTCOME_UNKNOWN", "OUTCOME_BUSY"],
      retryDelays: ["0s", "1.500s"],
      scheduledStartTime: "2031-07-01T10:00",
      timezone: "europe/kiev",
    });
    expect(await call("getBatchJob", { batchJobId })).toEqual({
      ok: {
        batchJob: {
          batchJobId,
          name: "Spring campaign",
          description: "first line\n\tsecond line",
          labels: {},
          copiedFrom: "",
          fromPhoneNumberId: "pn_1",
          status: "BATCH_JOB_STATUS_SCHEDULED",
          holds: [{ reason: "HOLD_REASON_NOT_STARTED", contacts: 2, until: "2031-07-01T07:00:00Z" }],
          history: [],
          endedAttempts: 0,
          failureReason: "",
          allowedCommands: [
            "BATCH_JOB_COMMAND_START",
            "BATCH_JOB_COMMAND_RESCHEDULE",
            "BATCH_JOB_COMMAND_CANCEL",
            "BATCH_JOB_COMMAND_DELETE",
            "BATCH_JOB_COMMAND_ADD_CONTACTS",
            "BATCH_JOB_COMMAND_UPDATE",
          ],
          revision: "1",
          timezone: "Europe/Kyiv",
          zonesFromPhone: false,
          requestedStartTime: "2031-07-01T10:00",
          scheduledStartTime: "2031-07-01T07:00:00Z",
          scheduledJobId: uuid,
          createdAt: instant,
          updatedAt: instant,
          concurrentCallLimit: 1000,
          maxAttempts: 1,
          retryOn: ["OUTCOME_UNKNOWN", "OUTCOME_BUSY"],
          retryDelays: ["0s", "1.500s"],
          priority: 5,
          pauseReason: "",
          counts: { ...noContacts, total: 2, pending: 2 },
        },
      },
    });
  });

  test("lists jobs newest first, page by page", async () => {
    const only = { nameContains: `list-${randomUUID()}`, pageSize: 1 };
    const ids = [await create({ name: only.nameContains }), await create({ name: only.nameContains })];
    const first = await answered<{ nextPageToken: string }>(call("listBatchJobs", only));
    expect(first).toEqual({
      batchJobs: [expect.objectContaining({ batchJobId: ids[1] })],
      nextPageToken: expect.stringMatching(/./),
    });
    expect(await call("listBatchJobs", { ...only, pageToken: first.nextPageToken })).toEqual({
      ok: { batchJobs: [expect.objectContaining({ batchJobId: ids[0] })], nextPageToken: "" },
    });
  });

  test("lists contacts by number and status", async () => {
    const [ada] = makeContacts(1);
    const batchJobId = await create({ contacts: [{ ...ada, name: "Ada 👩🏽‍💻", fields: { b: "2", a: "" } }] });
    const expected = {
      batchJobId,
      number: 1,
      phone: "+14155000000",
      name: "Ada 👩🏽‍💻",
      fields: { a: "", b: "2" },
      timezone: "",
      status: "CONTACT_STATUS_PENDING",
      attempts: 0,
      lastOutcome: "OUTCOME_UNSPECIFIED",
    };
    expect(await call("listContacts", { batchJobId, statuses: ["CONTACT_STATUS_PENDING"] })).toEqual({
      ok: { contacts: [expected], nextPageToken: "" },
    });
  });

  test("lists no contacts of a status that none can have", async () => {
    const batchJobId = await create();
    expect(await call("listContacts", { batchJobId, statuses: ["CONTACT_STATUS_CANCELLED"] })).toEqual({
      ok: { contacts: [], nextPageToken: "" },
    });
  });

  test("deletes a job", async () => {
    const batchJobId = await create();
    expect(await call("deleteBatchJob", { batchJobId })).toEqual({ ok: {} });
    expect(await prepare("getBatchJob", { batchJobId })).toMatchObject({ refused: { code: "not_found" } });
  });

  test("gets the first answer again for the same request id", async () => {
    const request = { ...aJob, requestId: randomUUID() };
    expect(await call("createBatchJob", request)).toEqual(await call("createBatchJob", request));
  });
});

describe.each(everyClient)("%s", (name) => {
  test.each([
    ["an answer", {}, service],
    ["a refusal", { pageSize: -1 }, service],
    ["a refused key", {}, { ...service, authorization: "" }],
  ])("finds a call id in the header of %s", async (_, request, ports) => {
    const ids: (string | null)[] = [];
    const onHeader = (header: Headers) => ids.push(header.get("callsheet-call-id"));
    const ask = callerFor(name, ports);
    await ask("listBatchJobs", request, { onHeader });
    await ask("listBatchJobs", request, { onHeader });
    expect(ids).toEqual([uuid, uuid]);
    expect(new Set(ids).size).toBe(2);
  });
});
