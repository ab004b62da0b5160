import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";
import { refusedAs } from "./refused.ts";

/* UpdateBatchJob as clients send it: what a mask names, and what is given. */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

const aJob = {
  name: "Spring campaign",
  description: "For those who asked",
  fromPhoneNumberId: "pn_1",
  concurrentCallLimit: 7,
  maxAttempts: 4,
  retryOn: ["OUTCOME_BUSY"],
  retryDelays: ["60s"],
  callsPerSecond: 20,
  rampUp: "3600s",
  priority: 7,
  startWithin: "60s",
  pauseWhen: { window: 20, share: 1, outcomes: ["OUTCOME_FAILED"] },
};

type Job = JsonObject & { batchJobId: string; revision: string };

describe.each(bothListeners)("over %s", (name) => {
  const call = callerFor(name, service);

  async function create(): Promise<Job> {
    const { batchJobId } = await answered<Job>(call("createBatchJob", aJob));
    return (await answered<{ batchJob: Job }>(call("getBatchJob", { batchJobId }))).batchJob;
  }

  const change = async ({ batchJobId }: Job, fields: JsonObject) =>
    (await answered<{ batchJob: Job }>(call("updateBatchJob", { batchJobId, ...fields }))).batchJob;

  const all = {
    name: "Autumn campaign",
    description: "For all",
    concurrentCallLimit: 9,
    maxAttempts: 10,
    retryOn: ["OUTCOME_VOICEMAIL", "OUTCOME_UNKNOWN"],
    retryDelays: ["1s", "2s"],
    callsPerSecond: 0.5,
    rampUp: "60s",
    priority: 10,
    startWithin: "600s",
    pauseWhen: { window: 100, share: 0.5, outcomes: ["OUTCOME_BUSY"] },
    callingHours: {
      windows: [{ days: [1, 2], start: "09:00", end: "24:00" }],
      exceptions: [{ date: "2027-12-25", windows: [] }],
      closeEarly: "0s",
    },
  };

  test("what is given is changed where there is no mask, and nothing else", async () => {
    const job = await create();
    for (const [field, value] of Object.entries(all)) {
      const before = await answered<{ batchJob: Job }>(call("getBatchJob", { batchJobId: job.batchJobId }));
      const after = await change(job, { [field]: value });
      expect(after).toEqual({
        ...before.batchJob,
        [field]: value,
        revision: String(Number(before.batchJob.revision) + 1),
        updatedAt: after["updatedAt"],
      });
    }
  });

  test("what the mask names is changed, and what is given besides is not", async () => {
    const job = await create();
    expect(await change(job, { ...all, updateMask: "maxAttempts,retryOn" })).toMatchObject({
      ...aJob,
      maxAttempts: 10,
      retryOn: all.retryOn,
    });
  });

  test("what the mask names and is not given becomes what it is when a job is created without it", async () => {
    const job = await create();
    const updateMask =
      "description,concurrentCallLimit,maxAttempts,retryOn,retryDelays,callsPerSecond,rampUp,priority,startWithin,pauseWhen";
    const changed = await change(job, { updateMask });
    expect(changed).not.toHaveProperty("callsPerSecond");
    expect(changed).not.toHaveProperty("rampUp");
    expect(changed).not.toHaveProperty("startWithin");
    expect(changed).not.toHaveProperty("pauseWhen");
    expect(changed).toMatchObject({
      name: aJob.name,
      description: "",
      concurrentCallLimit: 5,
      maxAttempts: 3,
      retryOn: ["OUTCOME_NO_ANSWER", "OUTCOME_BUSY", "OUTCOME_TIMEOUT"],
      retryDelays: ["300s", "1800s"],
      priority: 5,
    });
  });

  test("a job that is to pause itself does so after failures of the carrier and of workers, if no others are named", async () => {
    const job = await create();
    expect(await change(job, { pauseWhen: { window: 50, share: 0.25 } })).toMatchObject({
      pauseWhen: { window: 50, share: 0.25, outcomes: ["OUTCOME_CARRIER_ERROR", "OUTCOME_FAILED"] },
    });
  });

  const paths =
    "name, description, labels, concurrent_call_limit, max_attempts, retry_on, retry_delays, calls_per_second, ramp_up, priority, start_within, pause_when, end_at, calling_hours";

  test.each([
    ["a path that there is not", { updateMask: "fromPhoneNumberId", name: "A" }, "update_mask", paths],
    ["a path with what is inside of it", { updateMask: "name.first", name: "A" }, "update_mask", paths],
    ["nothing", {}, "update_mask", `nothing is to be changed; give one of ${paths}`],
    ["a name that is not given", { updateMask: "name" }, "name", "a job has one; give it"],
  ])("%s is refused", async (_, fields, field, words) => {
    const job = await create();
    const refused = await call("updateBatchJob", { batchJobId: job.batchJobId, ...fields });
    expect(refused).toEqual(
      refusedAs("invalid_argument", "invalid_argument", { field }, new RegExp(`is wrong: .*${words}\\.$`)),
    );
    expect(await answered(call("getBatchJob", { batchJobId: job.batchJobId }))).toEqual({ batchJob: job });
  });

  test("a job that is final is refused as not_updatable", async () => {
    const { batchJobId } = await create();
    await call("cancelBatchJob", { batchJobId });
    const refused = await call("updateBatchJob", { batchJobId, name: "A" });
    expect(refused).toEqual(
      refusedAs("not_updatable", "failed_precondition", {
        batchJobId,
        status: "cancelled",
        allowedStatuses: "pending,scheduled,running,paused",
      }),
    );
  });

  test("is safe to repeat under its request id", async () => {
    const job = await create();
    const request = { requestId: randomUUID(), maxAttempts: 2 };
    expect(await change(job, request)).toEqual(await change(job, request));
  });
});
