import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { jobStatuses } from "../../src/domain/jobs/batch-job.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { createClient } from "@connectrpc/connect";
import { makeWholeJob } from "../support/make.ts";
import { grpcTo } from "../support/transports.ts";
import { type Api, noJob, startApi } from "./api.ts";

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api[Symbol.asyncDispose]());

const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const idsOf = (jobs: unknown) => (jobs as { id: string }[]).map(({ id }) => id);
const phonesOf = (contacts: unknown) =>
  (contacts as { phoneNumber: string }[]).map(({ phoneNumber }) => phoneNumber);
const get = (path: string, query?: Record<string, string>) => api.ask("GET", path, query && { query });

describe("the list", () => {
  test("has each job as the pages describe it, newest first", async () => {
    const ids: string[] = [];
    for (const status of jobStatuses) ids.push((await api.jobIn(status)).id);
    await makeWholeJob(api.parts, { status: "pending" });
    const { status, body } = await get("/batch/jobs");
    expect(status).toBe(200);
    expect(idsOf(body["batchJobs"])).toEqual(ids.toReversed());
    expect(body).toMatchObject({ total: 7, page: 1, pageSize: 20 });
    expect(body["batchJobs"]).toContainEqual({
      id: ids[4],
      name: "A job",
      description: null,
      status: "completed",
      organizationId: String(api.organizationId),
      agentId: null,
      fromPhoneNumberId: "pn_1",
      totalContacts: 3,
      contactsProcessed: 3,
      successfulCalls: 3,
      failedCalls: 0,
      scheduledStartTime: null,
      actualStartTime: isoTime,
      completedAt: isoTime,
      createdAt: isoTime,
      concurrentCallLimit: 5,
      retryPolicy: { maxAttempts: 3, retryableStatuses: ["no_answer", "busy", "timeout"] },
    });

    for (const path of ["/batch/jobs", "/batch/list", "/v1/batch/jobs", "/v1/batch/list"]) {
      expect((await get(path, { status: "all" })).body).toEqual(body);
      const paused = await get(path, { status: "paused" });
      expect(idsOf(paused.body["batchJobs"])).toEqual([ids[3]]);
      expect(paused.body).toMatchObject({ total: 1 });
    }
    const pages = await Promise.all(
      ["1", "2", "3", "4"].map((page) => get("/batch/jobs", { page, pageSize: "3" })),
    );
    expect(pages.flatMap((page) => idsOf(page.body["batchJobs"]))).toEqual(ids.toReversed());
    expect(pages.map((page) => page.body["total"])).toEqual([7, 7, 7, 7]);
    expect((await get("/batch/jobs", { page: "100000000", pageSize: "100" })).body).toMatchObject({
      batchJobs: [],
      total: 7,
    });
  });

  test.each([
    [{ page: "0" }, "invalid_page", "Invalid page number: must be >= 1"],
    [{ page: "x" }, "invalid_page", "Invalid page number: must be >= 1"],
    [{ page: "-1" }, "invalid_page", "Invalid page number: must be >= 1"],
    [{ page: "1.5" }, "invalid_page", "Invalid page number: must be >= 1"],
    [{ page: "999999999999999" }, "invalid_page", "Invalid page number: must be >= 1"],
    [{ pageSize: "0" }, "invalid_page_size", undefined],
    [{ pageSize: "101" }, "invalid_page_size", undefined],
    [{ status: "gone" }, "invalid_argument", undefined],
  ])("refuses %o as %s", async (query, code, detail) => {
    const reply = await get("/batch/jobs", query as Record<string, string>);
    expect(reply.status).toBe(400);
    expect(reply.body).toMatchObject({ success: false, code });
    expect(reply.body["detail"]).toBe(detail ?? reply.body["error"]);
  });

  test("takes the organization's own id, and refuses another one", async () => {
    const organizationId = String(api.organizationId);
    expect(await get("/batch/jobs", { organizationId })).toMatchObject({ status: 200 });
    expect(await get("/batch/jobs", { organizationId: "" })).toMatchObject({ status: 200 });
    const other = await get("/batch/jobs", { organizationId: noJob });
    expect(other).toMatchObject({ status: 403, body: { code: "permission_denied" } });
  });

  test("refuses what it does not know, and what is there twice, by name", async () => {
    const unknown = await api.ask("GET", "/batch/jobs", { query: "limit=3" });
    expect(unknown).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
    expect(unknown.body["error"]).toContain('"limit"');
    const twice = await api.ask("GET", "/batch/jobs", { query: "page=1&page=2" });
    expect(twice).toMatchObject({ status: 400, body: { error: '"page" is given twice; give it once.' } });
    const none = await api.ask("POST", `/batch/jobs/${noJob}/start`, { query: "force=1" });
    expect(none).toMatchObject({
      status: 400,
      body: { error: '"force" is unknown; nothing is known here.' },
    });
  });
});

describe("the detail", () => {
  test("shows contacts in every status by its word", async () => {
    const worker = createClient(ContactWorkerService, grpcTo(api.grpcUrl, api.apiKey));
    const contacts = Array.from({ length: 7 }, (_, i) => ({
      phone: `+1415777000${i}`,
      name: i === 0 ? "Ada" : "",
      fields: { city: "Rome", phone: "hidden" },
    }));
    const client = api.clientWith(api.apiKey);
    const { batchJobId: id } = await client.createBatchJob({
      name: "All words",
      fromPhoneNumberId: "pn_1",
      concurrentCallLimit: 6,
      contacts,
    });
    expect((await get(`/batch/jobs/${id}`)).body).toMatchObject({
      estimatedCompletionTime: null,
      statusBreakdown: { pending: 7 },
    });
    await client.startBatchJob({ batchJobId: id });
    const leased = await worker.leaseContacts({
      workerId: "w",
      maxContacts: 6,
      wait: { seconds: 10n },
      batchJobIds: [id],
    });
    expect(leased.contacts.map(({ number }) => number)).toEqual([1, 2, 3, 4, 5, 6]);
    const outcomes = [
      Outcome.COMPLETED,
      Outcome.VOICEMAIL,
      Outcome.UNKNOWN,
      Outcome.BUSY,
      Outcome.BLOCKED,
    ] as const;
    await worker.reportOutcomes({
      outcomes: outcomes.map((outcome, i) => ({
        leaseId: leased.contacts[i]?.leaseId ?? "",
        outcome,
        ...(i === 0 && { callDuration: { seconds: 61n, nanos: 700_000_000 }, providerCallId: "room-1" }),
        ...(i === 1 && { failureReason: "a machine answered", errorCode: "vm" }),
      })),
    });

    const reply = await get(`/batch/jobs/${id}`);
    expect(reply.headers.get("etag")).toBe('"2"');
    expect((await get(`/batch/${id}`)).body["contacts"]).toEqual(reply.body["contacts"]);
    expect(reply.body).toMatchObject({
      id,
      status: "running",
      totalContacts: 7,
      contactsProcessed: 4,
      successfulCalls: 1,
      failedCalls: 3,
      statusBreakdown: { pending: 1, dialing: 1, queued: 1, completed: 1, no_answer: 1, failed: 2 },
      estimatedCompletionTime: isoTime,
      contactsTotal: 7,
      contactsPage: 1,
      contactsPageSize: 50,
      contactsHasMore: false,
    });
    const common = { maxAttempts: 3, contactData: { phone: expect.any(String), name: null, city: "Rome" } };
    const none = {
      errorCode: null,
      lastAttemptAt: isoTime,
      nextRetryAt: null,
      completedAt: isoTime,
      roomName: null,
      failureReason: null,
      callDuration: null,
    };
    const shown = (number: number, more: object) => ({
      ...common,
      ...none,
      id: `${id}:${number}`,
      phoneNumber: contacts[number - 1]?.phone,
      attemptCount: 1,
      ...more,
    });
    expect(reply.body["contacts"]).toEqual([
      shown(1, {
        status: "completed",
        contactData: { phone: "+14157770000", name: "Ada", city: "Rome" },
        roomName: "room-1",
        callDuration: 62,
      }),
      shown(2, { status: "no_answer", failureReason: "voicemail: a machine answered", errorCode: "vm" }),
      shown(3, { status: "failed", failureReason: "unknown" }),
      shown(4, { status: "queued", nextRetryAt: isoTime, completedAt: null }),
      shown(5, { status: "failed", failureReason: "blocked" }),
      shown(6, { status: "dialing", completedAt: null }),
      shown(7, { status: "pending", attemptCount: 0, lastAttemptAt: null, completedAt: null }),
    ]);

    const numbers = async (contactStatus: string, more: Record<string, string> = {}) => {
      const { body } = await get(`/batch/jobs/${id}`, { contactStatus, ...more });
      return [body["contactsTotal"], phonesOf(body["contacts"]).map((phone) => Number(phone.slice(-1)) + 1)];
    };
    expect(await numbers("all")).toEqual([7, [1, 2, 3, 4, 5, 6, 7]]);
    expect(await numbers("pending")).toEqual([1, [7]]);
    expect(await numbers("queued")).toEqual([1, [4]]);
    expect(await numbers("dialing")).toEqual([1, [6]]);
    expect(await numbers("completed")).toEqual([1, [1]]);
    expect(await numbers("no_answer")).toEqual([1, [2]]);
    expect(await numbers("busy")).toEqual([0, []]);
    expect(await numbers("failed")).toEqual([2, [3, 5]]);
    expect(await numbers("cancelled")).toEqual([0, []]);
    expect(await numbers("failed", { contactsPage: "2", contactsPageSize: "1" })).toEqual([2, [5]]);
    expect(await numbers("failed", { contactsPage: "3", contactsPageSize: "1" })).toEqual([2, []]);

    // A cancelled job's open contacts are cancelled, and final.
    await api.ask("POST", `/batch/${id}/cancel`);
    expect(await numbers("cancelled")).toEqual([2, [4, 7]]);
    expect((await get(`/batch/jobs/${id}`)).body).toMatchObject({
      contactsProcessed: 6,
      failedCalls: 3,
      statusBreakdown: { dialing: 1, completed: 1, no_answer: 1, failed: 2, cancelled: 2 },
      estimatedCompletionTime: null,
    });
  });

  test("goes through all contacts page by page, however large they are", async () => {
    const client = api.clientWith(api.apiKey);
    const contacts = Array.from({ length: 300 }, (_, i) => ({
      phone: `+1415888${String(i).padStart(4, "0")}`,
      fields: Object.fromEntries(Array.from({ length: 12 }, (__, key) => [`key${key}`, "x".repeat(900)])),
    }));
    const { batchJobId: id } = await client.createBatchJob({
      name: "Large",
      fromPhoneNumberId: "pn_1",
      contacts,
    });
    const pages = await Promise.all(
      ["1", "2"].map((contactsPage) => get(`/batch/jobs/${id}`, { contactsPage, contactsPageSize: "200" })),
    );
    expect(pages.flatMap(({ body }) => phonesOf(body["contacts"]))).toEqual(contacts.map((c) => c.phone));
    expect(pages.map(({ body }) => body["contactsHasMore"])).toEqual([true, false]);
  });

  test.each([
    [{ contactsPage: "0" }, "invalid_page", "Invalid page number: must be >= 1"],
    [{ contactsPageSize: "501" }, "invalid_page_size", undefined],
    [{ contactStatus: "voicemail" }, "invalid_contact_status", "Invalid contact status filter value"],
  ])("refuses %o as %s", async (query, code, detail) => {
    const { id } = await api.jobIn("pending");
    const reply = await get(`/batch/jobs/${id}`, query as Record<string, string>);
    expect(reply).toMatchObject({ status: 400, body: { success: false, code } });
    expect(reply.body["detail"]).toBe(detail ?? reply.body["error"]);
  });
});

describe("the state of the schedule", () => {
  test("shows the entry of a scheduled job, and whether Redis has it", async () => {
    const job = await api.jobIn("scheduled");
    const path = `/batch/jobs/${job.id}/redis-status`;
    const scheduledStartTime = job.scheduled_at?.toISOString();
    const common = {
      batchJobId: job.id,
      databaseStatus: "scheduled",
      scheduledJobId: job.scheduled_job_id,
      scheduledStartTime,
      note: null,
    };
    const info = { job_id: job.scheduled_job_id, job_metadata_exists: true, note: expect.any(String) };
    expect((await get(path)).body).toEqual({
      ...common,
      redisJobInfo: { ...info, in_defer_queue: true, scheduled_time: scheduledStartTime },
    });
    await api.parts.schedule.removeAll([job.scheduled_job_id ?? ""]);
    expect((await get(path)).body).toEqual({
      ...common,
      redisJobInfo: { ...info, in_defer_queue: false, scheduled_time: null },
    });
  });

  test("has nothing to show of a job that is not scheduled", async () => {
    const { id } = await api.jobIn("running");
    expect((await get(`/batch/jobs/${id}/redis-status`)).body).toEqual({
      batchJobId: id,
      databaseStatus: "running",
      scheduledJobId: null,
      scheduledStartTime: null,
      redisJobInfo: null,
      note: "The job is not scheduled.",
    });
  });
});
