import { once } from "node:events";
import { durationFromMs, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Interceptor, createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { afterAll, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { BatchJobStatus, ContactStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ContactWorkerService,
  type LeasedContact,
  type ReportOutcomesRequest,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { RetryInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { simulatedDialer } from "../../src/worker/simulated-dialer.ts";
import { eventually } from "../support/eventually.ts";
import { startRestartable } from "../support/restartable.ts";
import { onRpc, workAt } from "../support/work.ts";
import { grpcTo } from "../support/transports.ts";

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const service = stack.use(await startRestartable());
const { apiKey, grpcUrl } = service;
const { startJob, jobOf, contactOf, untilEnded, work: workOn } = workAt(grpcUrl, apiKey);
const work = (batchJobId: string, options: Parameters<typeof workOn>[1]) => workOn([batchJobId], options);

test("a worker works a job to its end, with no more calls at once than it may", async () => {
  const batchJobId = await startJob(60, [Outcome.BUSY, Outcome.NO_ANSWER]);
  const dial = simulatedDialer({ seed: 7, longestMs: 30 });
  let now = 0;
  let most = 0;
  await using _ = work(batchJobId, {
    workerId: "worker-7",
    concurrency: 8,
    async call(contact, signal) {
      now += 1;
      most = Math.max(most, now);
      const result = await dial(contact, signal);
      now -= 1;
      return result;
    },
  });
  await untilEnded(batchJobId);
  const job = await jobOf(batchJobId);
  expect(job).toMatchObject({
    status: BatchJobStatus.COMPLETED,
    counts: { total: 60, pending: 0, dialing: 0 },
  });
  expect(most).toBe(8);
  const workers = await service.db.selectFrom("attempts").select("worker_id").distinct().execute();
  expect(workers).toEqual([{ worker_id: "worker-7" }]);
});

/** Sees what a worker asks for. `change` may take something out of what it reports. */
function watchCalls(change = (report: ReportOutcomesRequest): ReportOutcomesRequest => report) {
  const calls: string[] = [];
  const note: Interceptor = (next) => (request) => {
    calls.push(request.method.name);
    return next(request);
  };
  const changing = onRpc("reportOutcomes", (next) => (request) => {
    if (request.stream) return next(request);
    return next({ ...request, message: change(request.message as ReportOutcomesRequest) });
  });
  const transport = grpcTo(grpcUrl, apiKey, [note, changing]);
  return { calls, client: createClient(ContactWorkerService, transport) };
}

test("a worker that comes to a contact after its hours gives it back and does not call", async () => {
  const batchJobId = await startJob(1);
  const late = [true, false];
  const told: Outcome[] = [];
  const seeing: Interceptor = (next) => async (request) => {
    if (!request.stream && request.method.localName === "reportOutcomes") {
      const { outcomes } = request.message as ReportOutcomesRequest;
      told.push(...outcomes.map(({ outcome }) => outcome));
    }
    const answer = await next(request);
    if (answer.stream || !("contacts" in answer.message)) return answer;
    for (const contact of answer.message.contacts as LeasedContact[]) {
      const leasedMs = timestampMs(contact.leaseExpiresAt ?? timestampFromMs(0)) - 120_000;
      contact.callBefore = timestampFromMs(leasedMs + (late.shift() === true ? 0 : 60_000));
    }
    return answer;
  };
  await using _ = work(batchJobId, {
    client: createClient(ContactWorkerService, grpcTo(grpcUrl, apiKey, [seeing])),
    concurrency: 1,
    leaseDurationMs: 120_000,
    call: async () => ({ outcome: Outcome.COMPLETED }),
  });
  await untilEnded(batchJobId);
  expect(told).toEqual([Outcome.NOT_DIALED, Outcome.COMPLETED]);
  expect((await contactOf(batchJobId)).attempts).toMatchObject([{ attempt: 1, outcome: Outcome.COMPLETED }]);
});

test("a worker takes the next contacts with its reports", async () => {
  const batchJobId = await startJob(40);
  const { calls, client } = watchCalls();
  await using _ = work(batchJobId, {
    client,
    concurrency: 1,
    call: async () => ({ outcome: Outcome.COMPLETED }),
  });
  await untilEnded(batchJobId);
  expect((await jobOf(batchJobId))?.counts).toMatchObject({ completed: 40 });
  expect(calls.filter((name) => name === "ReportOutcomes")).toHaveLength(40);
  expect(calls.filter((name) => name === "LeaseContacts").length).toBeLessThan(10);
});

test("a worker whose leases are limited waits as long as it is asked to, and works its job to the end", async () => {
  const batchJobId = await startJob(5);
  const askedMs = 700;
  const refusals = [{ retryDelay: durationFromMs(askedMs) }, { retryDelay: durationFromMs(askedMs) }];
  const tries: number[] = [];
  const limiting = onRpc("leaseContacts", (next) => (request) => {
    tries.push(performance.now());
    const value = refusals.pop();
    if (value === undefined) return next(request);
    throw new ConnectError("too many", Code.ResourceExhausted, undefined, [{ desc: RetryInfoSchema, value }]);
  });
  const errors: Code[] = [];
  await using _ = work(batchJobId, {
    client: createClient(ContactWorkerService, grpcTo(grpcUrl, apiKey, [limiting])),
    concurrency: 1,
    call: async () => ({ outcome: Outcome.COMPLETED }),
    onError: ({ code }) => errors.push(code),
  });
  await untilEnded(batchJobId);
  const [first = 0, second = 0, third = 0] = tries;
  expect(second - first).toBeGreaterThanOrEqual(askedMs - 5);
  expect(third - second).toBeGreaterThanOrEqual(askedMs - 5);
  expect(errors).toEqual([Code.ResourceExhausted, Code.ResourceExhausted]);
});

test("a worker works a job to its end with a service that does not know how to lease with a report", async () => {
  const batchJobId = await startJob(20);
  const { calls, client } = watchCalls((report) => {
    delete report.leaseNext;
    return report;
  });
  await using _ = work(batchJobId, {
    client,
    concurrency: 2,
    call: async () => ({ outcome: Outcome.COMPLETED }),
  });
  await untilEnded(batchJobId);
  expect((await jobOf(batchJobId))?.counts).toMatchObject({ completed: 20 });
  expect(calls.filter((name) => name === "LeaseContacts").length).toBeGreaterThanOrEqual(10);
});

test("a worker that is told to stop leases no more, and its calls end and are reported", async () => {
  const batchJobId = await startJob(20);
  const hangUp = Promise.withResolvers<void>();
  let calls = 0;
  const worker = work(batchJobId, {
    concurrency: 3,
    async call() {
      calls += 1;
      await hangUp.promise;
      return { outcome: Outcome.COMPLETED, callDurationMs: 5, providerCallId: "call-1" };
    },
  });
  await eventually(() => expect(calls).toBe(3));
  worker.stop();
  hangUp.resolve();
  await worker.ended;
  expect(calls).toBe(3);
  expect((await jobOf(batchJobId))?.counts).toMatchObject({ completed: 3, dialing: 0, pending: 17 });
});

test("a worker that waits for contacts stops at once", async () => {
  const worker = work(crypto.randomUUID(), { call: async () => ({ outcome: Outcome.COMPLETED }) });
  worker.stop();
  await expect(worker.ended).resolves.toBeUndefined();
});

test("a call that throws is reported as failed, with as much of what it threw as can be kept", async () => {
  const batchJobId = await startJob(1);
  const thrown = new Error(`the line\r\nis \u001B[31mdead ${"\u{1F4DE}".repeat(2_000)}`);
  await using _ = work(batchJobId, { call: () => Promise.reject(thrown) });
  await untilEnded(batchJobId);
  const kept = `the line \nis  [31mdead ${"\u{1F4DE}".repeat(2_000)}`;
  expect(await contactOf(batchJobId)).toMatchObject({
    contact: { status: ContactStatus.FAILED },
    attempts: [{ outcome: Outcome.FAILED, failureReason: Array.from(kept).slice(0, 1_000).join("") }],
  });
});

test("a result that the service would refuse is cut to what it takes, and keeps no other from being reported", async () => {
  const batchJobId = await startJob(3);
  const odd = {
    outcome: Outcome.VOICEMAIL,
    errorCode: `E\u0000${"x".repeat(200)}`,
    failureReason: "\uD800",
    providerCallId: "\u{1F4DE}".repeat(200),
    callDurationMs: -1,
  };
  const results = [
    odd,
    { outcome: 99 as Outcome, callDurationMs: Number.NaN },
    { outcome: Outcome.COMPLETED },
  ];
  await using _ = work(batchJobId, {
    call: async ({ number }) => results[number - 1] ?? { outcome: Outcome.COMPLETED },
  });
  await eventually(async () => {
    expect((await jobOf(batchJobId))?.counts).toMatchObject({ completed: 1, failed: 1, voicemail: 1 });
  });
  expect((await contactOf(batchJobId)).attempts).toMatchObject([
    {
      outcome: Outcome.VOICEMAIL,
      errorCode: `E ${"x".repeat(126)}`,
      failureReason: " ",
      providerCallId: "\u{1F4DE}".repeat(128),
      callDuration: { seconds: 0n, nanos: 0 },
    },
  ]);
});

test("a lease is extended while its call goes on", { timeout: 60_000 }, async () => {
  const batchJobId = await startJob(1);
  const extended = Promise.withResolvers<void>();
  const watchExtensions: Interceptor = (next) => async (request) => {
    const response = await next(request);
    if (request.method.name === "ExtendLeases") extended.resolve();
    return response;
  };
  const client = createClient(ContactWorkerService, grpcTo(grpcUrl, apiKey, [watchExtensions]));
  const ends: (Date | undefined)[] = [];
  const readEnd = async () => {
    const [attempt] = await service.db
      .selectFrom("leases")
      .select("expires_at")
      .where("job_id", "=", batchJobId)
      .execute();
    ends.push(attempt?.expires_at);
  };
  await using _ = work(batchJobId, {
    client,
    leaseDurationMs: 10_000,
    async call() {
      await readEnd();
      await extended.promise;
      await readEnd();
      return { outcome: Outcome.COMPLETED };
    },
  });
  await untilEnded(batchJobId);
  const [before, after] = ends;
  expect((after?.getTime() ?? 0) - (before?.getTime() ?? Infinity)).toBeGreaterThan(2_000);
});

test("a call whose lease is lost is aborted", { timeout: 60_000 }, async () => {
  const batchJobId = await startJob(1);
  let isAborted = false;
  await using _ = work(batchJobId, {
    leaseDurationMs: 10_000,
    async call(_contact, signal) {
      const lost = once(signal, "abort");
      const past = sql<Date>`clock_timestamp() - interval '1 second'`;
      await service.db
        .updateTable("leases")
        .set({ expires_at: past })
        .where("job_id", "=", batchJobId)
        .execute();
      await lost;
      isAborted = true;
      return { outcome: Outcome.VOICEMAIL };
    },
  });
  await eventually(() => expect(isAborted).toBe(true));
  await eventually(async () => {
    expect(await contactOf(batchJobId)).toMatchObject({
      contact: { status: ContactStatus.VOICEMAIL },
      attempts: [{ attempt: 1, outcome: Outcome.VOICEMAIL }],
    });
  });
});

test("a worker whose key is wrong throws", async () => {
  const client = createClient(ContactWorkerService, grpcTo(grpcUrl, generateApiKey()));
  const worker = work(crypto.randomUUID(), { client, call: async () => ({ outcome: Outcome.COMPLETED }) });
  await expect(worker.ended).rejects.toMatchObject({ code: Code.Unauthenticated });
});

test(
  "a worker goes on when the service was stopped and started again under it",
  { timeout: 60_000 },
  async () => {
    const batchJobId = await startJob(30);
    const goOn = Promise.withResolvers<void>();
    const errors: ConnectError[] = [];
    let calls = 0;
    await using _ = work(batchJobId, {
      concurrency: 5,
      onError: (error) => errors.push(error),
      async call() {
        calls += 1;
        await goOn.promise;
        return { outcome: Outcome.COMPLETED };
      },
    });
    await eventually(() => expect(calls).toBe(5));
    await service.stop();
    goOn.resolve();
    await eventually(() => expect(errors.map(({ code }) => code)).toContain(Code.Unavailable));
    await service.start();
    await untilEnded(batchJobId);
    expect(await jobOf(batchJobId)).toMatchObject({
      status: BatchJobStatus.COMPLETED,
      counts: { completed: 30 },
    });
    expect(calls).toBe(30);
  },
);
