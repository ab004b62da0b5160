import { expect, inject, test } from "vitest";
import { BatchJobStatus } from "../src/gen/callsheet/v1/batch_job_pb.ts";
import { openRedis } from "../src/redis/connection.ts";
import { createKeys } from "../src/redis/keys.ts";
import { eventually } from "./support/eventually.ts";
import { numbersTo } from "./support/look.ts";
import { makeContacts } from "./support/make.ts";
import { startTestService } from "./support/service.ts";

test("a batch job of 10,000 contacts is created, scheduled, moved, and starts by itself when its time has come", async () => {
  await using service = await startTestService();
  const client = service.clientWith(service.apiKey);

  // A backend creates the job. It waits: no start time was given.
  const created = await client.createBatchJob({
    name: "Spring campaign",
    fromPhoneNumberId: "pn_1",
    contacts: makeContacts(10_000),
  });
  expect(created).toMatchObject({ success: true, totalContacts: 10_000, status: BatchJobStatus.PENDING });
  const { batchJobId } = created;

  // It is to start at ten in the morning in New York.
  const scheduled = await client.rescheduleBatchJob({
    batchJobId,
    scheduledStartTime: "2035-03-01T10:00:00",
    timezone: "America/New_York",
  });
  expect(scheduled).toMatchObject({
    message: "Scheduled successfully",
    status: BatchJobStatus.SCHEDULED,
    oldJobCancelled: false,
    scheduledStartTime: { seconds: BigInt(Date.UTC(2035, 2, 1, 15) / 1000) },
  });

  // Plans change: it is to start now, or rather in half a second.
  const soon = new Date(Date.now() + 500);
  const moved = await client.rescheduleBatchJob({ batchJobId, scheduledStartTime: soon.toISOString() });
  expect(moved).toMatchObject({
    message: "Rescheduled successfully (old job cancelled)",
    oldJobCancelled: true,
  });
  expect(moved.newScheduledJobId).not.toBe(scheduled.newScheduledJobId);

  // Its time comes, and the scheduler starts it.
  const running = await eventually(async () => {
    const { batchJob } = await client.getBatchJob({ batchJobId });
    expect(batchJob?.status).toBe(BatchJobStatus.RUNNING);
    return batchJob;
  });
  expect(running?.counts).toMatchObject({ total: 10_000, pending: 10_000 });
  expect(Number(running?.startedAt?.seconds) * 1000).toBeGreaterThanOrEqual(
    Math.floor(soon.getTime() / 1000) * 1000,
  );

  // Every contact is on the job's list in Redis, once, in the order in which they were given.
  const redis = openRedis(inject("redisUrl"));
  await using stack = new AsyncDisposableStack();
  stack.defer(() => redis.disconnect());
  const { organization_id: organizationId } = await service.db
    .selectFrom("batch_jobs")
    .select("organization_id")
    .executeTakeFirstOrThrow();
  const list = await eventually(async () => {
    const numbers = await redis.lrange(
      createKeys(service.prefix).contacts({ id: batchJobId, organizationId }),
      0,
      -1,
    );
    expect(numbers).toHaveLength(10_000);
    return numbers;
  });
  expect(list).toEqual(numbersTo(10_000));

  // A second start is refused: the job runs already.
  await expect(client.startBatchJob({ batchJobId })).rejects.toThrow("running already");
});
