import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { BatchJobStatus } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { runResumePass } from "../../src/jobs/commands/resuming.ts";
import { resumeDueJob } from "../../src/postgres/jobs/resumes.ts";
import { eventually } from "../support/eventually.ts";
import { lookAt } from "../support/look.ts";
import { makeWholeJob, onJob } from "../support/make.ts";
import type { Parts } from "../support/parts.ts";
import { onTwoReplicas } from "../support/replicas.ts";
import { refusal } from "../support/refusal.ts";
import { rowOf } from "../support/rows.ts";
import { startTestService } from "../support/service.ts";

/* A job that is paused for a time. */

let parts: Parts;
let other: Parts;
onTwoReplicas((here, there) => {
  parts = here;
  other = there;
});

const inAnHour = () => new Date(Date.now() + 3_600_000);

/** A job that is paused until a time. */
async function pausedUntil(resumeAt: Date): Promise<string> {
  const { id } = await makeWholeJob(parts, { status: "running" });
  await parts.jobs.pauseUntil(onJob(parts, id), resumeAt);
  return id;
}

/** Lets the time come, if there is one. */
const letItCome = (id: string) =>
  parts.db
    .updateTable("batch_jobs")
    .set({ resume_at: sql<Date>`clock_timestamp() - interval '1 second'` })
    .where("id", "=", id)
    .where("resume_at", "is not", null)
    .execute();

const recorded = (id: string) =>
  parts.db
    .selectFrom("events")
    .select(["type", "actor", "revision"])
    .where("batch_job_id", "=", id)
    .where("type", "=", "batch_job.resumed")
    .execute();

test("a job that is paused until a time tells it, and goes on then, with its contacts on its list", async () => {
  const resumeAt = inAnHour();
  const id = await pausedUntil(resumeAt);
  expect(await parts.jobs.get(parts.caller, id)).toMatchObject({ status: "paused", resumeAt, revision: 2 });
  await letItCome(id);
  await runResumePass(parts);
  await parts.fanOut.run({ id, organizationId: parts.caller.organizationId });
  expect(await lookAt(parts, id)).toMatchObject({
    row: { status: "running", resume_at: null, revision: 3 },
    list: ["1", "2", "3"],
  });
  expect(await recorded(id)).toEqual([{ type: "batch_job.resumed", actor: "scheduler", revision: 3 }]);
});

test("two replicas let it go on once", async () => {
  const id = await pausedUntil(inAnHour());
  await letItCome(id);
  await Promise.all([parts, other, parts, other].map(runResumePass));
  expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "running", revision: 3 });
  expect(await recorded(id)).toHaveLength(1);
});

test("leaves a job alone whose time has not come, and one that a command has let go on", async () => {
  const [early, resumed] = [await pausedUntil(inAnHour()), await pausedUntil(inAnHour())];
  await parts.jobs.resume(onJob(parts, resumed));
  for (const id of [early, resumed]) {
    const before = await lookAt(parts, id);
    expect(await resumeDueJob(parts.db, { id, organizationId: parts.caller.organizationId })).toBeUndefined();
    expect(rowOf(await lookAt(parts, id))).toEqual(rowOf(before));
  }
});

describe("the time", () => {
  test("of a job that was resumed and paused again, without a time, is taken back", async () => {
    const id = await pausedUntil(inAnHour());
    await parts.jobs.resume(onJob(parts, id));
    expect(rowOf(await lookAt(parts, id)).resume_at).toBeNull();
    await parts.jobs.pause(onJob(parts, id));
    await runResumePass(parts);
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "paused", resume_at: null, revision: 4 });
  });

  test("of a job that was cancelled is taken back", async () => {
    const id = await pausedUntil(inAnHour());
    await parts.jobs.cancel(onJob(parts, id));
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "cancelled", resume_at: null });
  });

  test("that is not ahead is refused, and the job runs on", async () => {
    const { id } = await makeWholeJob(parts, { status: "running" });
    expect(
      await refusal(parts.jobs.pauseUntil(onJob(parts, id), new Date(Date.now() - 1_000))),
    ).toMatchObject({
      reason: "past_scheduled_time",
      metadata: { field: "resume_at" },
    });
    expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "running", revision: 1 });
  });
});

test("a job of which nothing is open by then ends", async () => {
  const { id } = await makeWholeJob(parts, { status: "paused", contacts: 0 });
  await parts.db
    .updateTable("batch_jobs")
    .set({ resume_at: sql<Date>`clock_timestamp() - interval '1 second'` })
    .where("id", "=", id)
    .execute();
  await runResumePass(parts);
  expect(rowOf(await lookAt(parts, id))).toMatchObject({ status: "failed", resume_at: null });
});

test("a pass says when the next job is to go on, if that is soon", async () => {
  await pausedUntil(new Date(parts.clock.now() + 400));
  expect(await runResumePass(parts)).toBeLessThanOrEqual(400);
});

test("a service lets a job go on by itself", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);
  const { batchJobId } = await client.createBatchJob({
    name: "A job",
    fromPhoneNumberId: "pn_1",
    contacts: [{ phone: "+14155550100" }],
  });
  await client.startBatchJob({ batchJobId });
  const resumeAt = timestampFromMs(Date.now() + 1_500);
  await client.pauseBatchJob({ batchJobId, resumeAt });
  await eventually(async () => {
    const { batchJob } = await client.getBatchJob({ batchJobId });
    expect(batchJob?.status).toBe(BatchJobStatus.RUNNING);
    expect(batchJob?.resumeAt).toBeUndefined();
  }, 20_000);
});
