import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeWholeJob } from "../support/make.ts";
import { describeRefusal } from "../support/refusal.ts";
import { type Api, noJob, startApi } from "./api.ts";

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api[Symbol.asyncDispose]());

const isoTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const inTheFuture = { scheduledStartTime: "2035-03-01T10:00:00", timezone: "America/New_York" };

/** What the RPC says of the same. */
const refusalOf = (call: Promise<unknown>) =>
  call.then(
    () => "nothing",
    (error: unknown) => describeRefusal(error),
  );

const startPaths = [
  (id: string) => `/batch/jobs/${id}/start`,
  (id: string) => `/v1/batch/jobs/${id}/start`,
  (id: string) => `/batch/${id}/start-now`,
] as const;

describe("start", () => {
  test.each([
    { status: "pending", message: "Starting immediately", redisJobCancelled: false },
    {
      status: "scheduled",
      message: "Cancelled scheduled job, starting immediately",
      redisJobCancelled: true,
    },
  ] as const)("starts a $status job", async ({ status, message, redisJobCancelled }) => {
    for (const pathOf of startPaths) {
      const { id } = await api.jobIn(status);
      const reply = await api.ask("POST", pathOf(id));
      expect(reply).toMatchObject({ status: 200, body: {} });
      expect(reply.body).toEqual({
        success: true,
        message,
        batchJobId: id,
        status: "running",
        contactsEnqueued: 3,
        redisJobCancelled,
        startedAt: isoTime,
      });
    }
  });

  test.each([
    ["running", "already_running"],
    ["paused", "invalid_status"],
    ["completed", "invalid_status"],
    ["failed", "invalid_status"],
    ["cancelled", "invalid_status"],
  ] as const)("refuses a %s job as %s", async (status, code) => {
    const { id } = await api.jobIn(status);
    const rpc = await refusalOf(api.clientWith(api.apiKey).startBatchJob({ batchJobId: id }));
    for (const pathOf of startPaths) {
      const reply = await api.ask("POST", pathOf(id));
      expect(reply.status).toBe(400);
      expect(reply.body).toEqual({
        success: false,
        code,
        detail: `Cannot start job in '${status}' status. Only 'scheduled' or 'pending' jobs can be started.`,
        error: expect.any(String),
      });
      expect(rpc).toMatchObject({ reason: code, message: reply.body["error"] });
    }
  });
});

describe("reschedule", () => {
  test.each([
    { status: "pending", message: "Scheduled successfully", oldJobCancelled: false },
    {
      status: "scheduled",
      message: "Rescheduled successfully (old job cancelled)",
      oldJobCancelled: true,
    },
  ] as const)("gives a $status job its time", async ({ status, message, oldJobCancelled }) => {
    for (const method of ["PATCH", "POST"]) {
      const { id } = await api.jobIn(status);
      const reply = await api.ask(method, `/batch/jobs/${id}/reschedule`, { query: inTheFuture });
      expect(reply.status).toBe(200);
      expect(reply.body).toEqual({
        success: true,
        message,
        batchJobId: id,
        scheduledStartTime: "2035-03-01T15:00:00.000Z",
        status: "scheduled",
        oldJobCancelled,
        newScheduledJobId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      });
    }
  });

  test.each(["running", "paused", "completed", "failed", "cancelled"] as const)(
    "refuses a %s job as invalid_status",
    async (status) => {
      const { id } = await api.jobIn(status);
      const reply = await api.ask("PATCH", `/batch/jobs/${id}/reschedule`, { query: inTheFuture });
      const rpc = await refusalOf(
        api.clientWith(api.apiKey).rescheduleBatchJob({ batchJobId: id, ...inTheFuture }),
      );
      expect(reply.status).toBe(400);
      expect(reply.body).toEqual({
        success: false,
        code: "invalid_status",
        detail: `Cannot reschedule job in '${status}' status. Only 'scheduled' or 'pending' jobs can be rescheduled.`,
        error: expect.any(String),
      });
      expect(rpc).toMatchObject({ reason: "invalid_status", message: reply.body["error"] });
    },
  );

  test.each([
    [
      { timezone: "Mars/Olympus" },
      "invalid_timezone",
      "Invalid timezone 'Mars/Olympus'. Use IANA timezone format (e.g., 'America/New_York', 'Asia/Karachi', 'UTC').",
    ],
    [
      { scheduledStartTime: "tomorrow" },
      "invalid_datetime",
      "Invalid datetime format. Use format like '2025-03-01T10:00:00'.",
    ],
    [
      { scheduledStartTime: "2025-03-01T10:00:00" },
      "past_scheduled_time",
      "Scheduled time must be in the future",
    ],
    [
      // The night in which the clocks of New York go forward.
      { scheduledStartTime: "2035-03-11T02:30:00" },
      "invalid_datetime",
      "Invalid datetime format. Use format like '2025-03-01T10:00:00'. \"2035-03-11T02:30:00\" does not occur in America/New_York: the clocks skip from 2035-03-11T01:59:59 to 2035-03-11T03:00:00; give one of these.",
    ],
  ])("refuses %o as %s", async (wrong, code, detail) => {
    const { id } = await api.jobIn("pending");
    const query = { ...inTheFuture, ...wrong };
    const reply = await api.ask("PATCH", `/batch/jobs/${id}/reschedule`, { query });
    const rpc = await refusalOf(api.clientWith(api.apiKey).rescheduleBatchJob({ batchJobId: id, ...query }));
    expect(reply.status).toBe(400);
    expect(reply.body).toMatchObject({ success: false, code, detail });
    expect(rpc).toMatchObject({ reason: code });
    expect(reply.body["error"]).toEqual(expect.any(String));
  });

  test("refuses a request without a time as invalid_datetime", async () => {
    const { id } = await api.jobIn("pending");
    const reply = await api.ask("PATCH", `/batch/jobs/${id}/reschedule`);
    expect(reply).toMatchObject({ status: 400, body: { code: "invalid_datetime" } });
  });

  test.each(["2035-03-01T10:00:00+05:00", "2035-03-01T10:00:00%2B05:00"])(
    "reads the offset of %s",
    async (time) => {
      const { id } = await api.jobIn("pending");
      const reply = await api.ask("PATCH", `/batch/jobs/${id}/reschedule`, {
        query: `scheduledStartTime=${time}`,
      });
      expect(reply.body).toMatchObject({ scheduledStartTime: "2035-03-01T05:00:00.000Z" });
    },
  );
});

test.each([
  ["POST", "/batch/jobs/ID/start"],
  ["PATCH", "/batch/jobs/ID/reschedule?scheduledStartTime=2035-03-01T10:00:00"],
  ["GET", "/batch/jobs/ID"],
  ["GET", "/batch/ID"],
  ["GET", "/batch/jobs/ID/redis-status"],
  ["POST", "/batch/jobs/ID/cancel"],
  ["POST", "/batch/ID/pause"],
  ["POST", "/batch/ID/resume"],
  ["DELETE", "/batch/ID"],
])("%s %s of an unknown job, or of another organization's, is not found", async (method, path) => {
  const { id: another } = await makeWholeJob(api.parts, { status: "pending" });
  for (const id of [noJob, another, "7"]) {
    const reply = await api.ask(method, path.replace("ID", id));
    expect(reply.status).toBe(404);
    expect(reply.body).toEqual({
      success: false,
      code: "job_not_found",
      detail: "Batch job not found",
      error: "There is no such batch job in this organization.",
    });
  }
});
