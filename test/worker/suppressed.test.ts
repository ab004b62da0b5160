import { setTimeout as delay } from "node:timers/promises";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor, createClient } from "@connectrpc/connect";
import { afterAll, beforeEach, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { onRpc, workAt } from "../support/work.ts";
import { grpcTo } from "../support/transports.ts";

/* Answers with leases that are long on their way to a worker. */

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;

/** The shortest that there is. */
const leaseDurationMs = 10_000;
const timeout = 120_000;

let key: string;
beforeEach(async () => {
  ({ key } = await makeApiKey(db, { role: "admin", organization: crypto.randomUUID() }));
});

const phonesOf = (count: number) => makeContacts(count).map(({ phone }) => phone);

/** Puts the phone of the first contact on the list. */
async function suppressFirst(): Promise<void> {
  const list = createClient(SuppressionService, grpcTo(service.grpcUrl, key));
  await list.addSuppressedPhones({ phones: phonesOf(1).map((phone) => ({ phone, reason: "opted out" })) });
}

/** Has three contacts called, with something done while their leases are on their way; who was called. */
async function callThree(
  meanwhile: (jobId: string) => Promise<unknown>,
  interceptors: Interceptor[] = [],
): Promise<{ called: string[]; jobId: string }> {
  const { startJob, untilEnded, work, jobOf } = workAt(service.grpcUrl, key);
  const jobId = await startJob(3);
  let isFirst = true;
  const late = onRpc("leaseContacts", (next) => async (request) => {
    const response = await next(request);
    if (!isFirst) return response;
    isFirst = false;
    await meanwhile(jobId);
    // The worker's own clock tells it that the answer was late.
    await delay(leaseDurationMs / 2);
    return response;
  });
  const client = createClient(ContactWorkerService, grpcTo(service.grpcUrl, key, [late, ...interceptors]));
  const called: string[] = [];
  await using _ = work([jobId], {
    client,
    leaseDurationMs,
    concurrency: 3,
    call: async ({ phone }) => {
      called.push(phone);
      return { outcome: Outcome.COMPLETED };
    },
  });
  await untilEnded(jobId, 60_000);
  await eventually(async () => expect((await jobOf(jobId))?.counts?.dialing).toBe(0), 60_000);
  return { called: called.toSorted(), jobId };
}

test("a worker that was answered late does not call whom nobody calls any more", { timeout }, async () => {
  const { called, jobId } = await callThree(suppressFirst);
  expect(called).toEqual(phonesOf(3).slice(1));
  const job = await workAt(service.grpcUrl, key).jobOf(jobId);
  expect(job?.counts).toMatchObject({ completed: 2, suppressed: 1 });
});

test("a worker calls all the same where its service does not know the question", { timeout }, async () => {
  const unknown = onRpc("checkLeases", () => () => {
    throw new ConnectError("no such method", Code.Unimplemented);
  });
  expect((await callThree(suppressFirst, [unknown])).called).toEqual(phonesOf(3));
});

test(
  "a worker that was answered late calls nobody whose job has been given an end since",
  { timeout },
  async () => {
    const jobs = createClient(BatchJobService, grpcTo(service.grpcUrl, key));
    const endSoon = (batchJobId: string) =>
      jobs.updateBatchJob({ batchJobId, endAt: timestampFromMs(Date.now() + 2_000) });
    const { called, jobId } = await callThree(endSoon);
    expect(called).toEqual([]);
    expect((await workAt(service.grpcUrl, key).jobOf(jobId))?.counts).toMatchObject({
      expired: 3,
      completed: 0,
    });
  },
);
