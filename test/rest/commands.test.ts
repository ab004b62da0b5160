import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type JobStatus, jobStatuses } from "../../src/domain/jobs/batch-job.ts";
import { toScheduleState } from "../../src/rest/schedule-words.ts";
import { jobsWithoutRedis } from "../support/failing.ts";
import { describeRefusal } from "../support/refusal.ts";
import { type Api, startApi } from "./api.ts";

let api: Api;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api[Symbol.asyncDispose]());

const rpcs = {
  cancel: (batchJobId: string) => api.clientWith(api.apiKey).cancelBatchJob({ batchJobId }),
  pause: (batchJobId: string) => api.clientWith(api.apiKey).pauseBatchJob({ batchJobId }),
  resume: (batchJobId: string) => api.clientWith(api.apiKey).resumeBatchJob({ batchJobId }),
  delete: (batchJobId: string) => api.clientWith(api.apiKey).deleteBatchJob({ batchJobId }),
};

async function rpcRefusal(command: keyof typeof rpcs, id: string) {
  try {
    return await rpcs[command](id);
  } catch (error) {
    return describeRefusal(error);
  }
}

describe("cancel", () => {
  test.each([
    ["pending", "Job cancelled successfully", false],
    ["scheduled", "Scheduled job cancelled successfully", true],
    ["running", "Job was already running - cancelled remaining contacts", false],
    ["paused", "Job cancelled successfully", false],
  ] as const)("cancels a %s job", async (status, message, redisJobCancelled) => {
    for (const pathOf of [
      (id: string) => `/batch/jobs/${id}/cancel`,
      (id: string) => `/batch/${id}/cancel`,
    ]) {
      const { id } = await api.jobIn(status);
      expect(await api.ask("POST", pathOf(id))).toMatchObject({
        status: 200,
        body: { success: true, message, batchJobId: id, redisJobCancelled, contactsCancelled: 3 },
      });
    }
  });

  test.each(["completed", "failed", "cancelled"] as const)("refuses a %s job", async (status) => {
    const { id } = await api.jobIn(status);
    const reply = await api.ask("POST", `/batch/jobs/${id}/cancel`);
    expect(reply).toMatchObject({
      status: 400,
      body: { code: "already_terminal", detail: `Cannot cancel job in '${status}' status` },
    });
    expect(await rpcRefusal("cancel", id)).toMatchObject({
      reason: "already_terminal",
      message: reply.body["error"],
    });
  });
});

const allowed: Record<"pause" | "resume" | "delete", JobStatus[]> = {
  pause: ["running"],
  resume: ["paused"],
  delete: jobStatuses.filter((status) => status !== "running"),
};

describe.each(["pause", "resume", "delete"] as const)("%s", (command) => {
  const [method, suffix] = command === "delete" ? ["DELETE", ""] : ["POST", `/${command}`];
  const after = { pause: { status: "paused" }, resume: { status: "running" }, delete: {} }[command];

  test.each(allowed[command])("does it to a %s job", async (status) => {
    const { id } = await api.jobIn(status);
    const reply = await api.ask(method, `/batch/${id}${suffix}`);
    expect(reply.status).toBe(200);
    expect(reply.body).toEqual({
      success: true,
      message: expect.any(String),
      batchJobId: id,
      ...after,
    });
    const is = await api.ask("GET", `/batch/${id}`);
    expect(is).toMatchObject(command === "delete" ? { status: 404 } : { body: after });
  });

  test.each(jobStatuses.filter((status) => !allowed[command].includes(status)))(
    "refuses a %s job",
    async (status) => {
      const { id } = await api.jobIn(status);
      const reply = await api.ask(method, `/batch/${id}${suffix}`);
      expect(reply).toMatchObject({ status: 400, body: { code: "invalid_status" } });
      expect(reply.body["detail"]).toBe(reply.body["error"]);
      expect(await rpcRefusal(command, id)).toMatchObject({
        reason: "invalid_status",
        message: reply.body["error"],
      });
    },
  );
});

test("a paused job is not deleted while a contact is dialing", async () => {
  const { id } = await api.jobIn("paused", { dialing: 1 });
  const reply = await api.ask("DELETE", `/batch/${id}`);
  expect(reply).toMatchObject({
    status: 400,
    body: {
      code: "invalid_status",
      error: "1 of the batch job's contacts are dialing; delete it when their calls have ended.",
    },
  });
});

test("a start of a job without contacts says so", async () => {
  const { id } = await api.jobIn("pending", { contacts: 0 });
  const reply = await api.ask("POST", `/batch/jobs/${id}/start`);
  expect(reply).toMatchObject({ status: 400, body: { code: "no_contacts" } });
});

test("while Redis is away the state of the schedule says so", async () => {
  const { id } = await api.jobIn("scheduled");
  const state = toScheduleState(await jobsWithoutRedis(api.maker).scheduleState(api.maker.caller, id));
  expect(state).toMatchObject({ databaseStatus: "scheduled", redisJobInfo: null });
  expect(state.note).toMatch(/^Redis does not answer/);
});
