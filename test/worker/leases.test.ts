import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type Interceptor, createClient } from "@connectrpc/connect";
import { sql } from "kysely";
import { afterAll, describe, expect, test } from "vitest";
import { Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import {
  ContactWorkerService,
  type ExtendLeasesRequest,
  type ReportOutcomesRequest,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import type { PlaceCall } from "../../src/worker/run-worker.ts";
import { makeApiKey } from "../support/api-key.ts";
import { eventually } from "../support/eventually.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { startTestService } from "../support/service.ts";
import { onRpc, workAt } from "../support/work.ts";
import { grpcTo } from "../support/transports.ts";

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());
const { db } = service;
await db.updateTable("organizations").set({ lease_limit: 10_000 }).execute();

const { startJob, jobOf, contactOf, untilEnded, work } = workAt(service.grpcUrl, service.apiKey);

/** The shortest that there is. */
const leaseDurationMs = 10_000;
const timeout = 120_000;
const patienceMs = 90_000;

const completed = { outcome: Outcome.COMPLETED };

const clientWith = (interceptors: Interceptor[], key = service.apiKey, url = service.grpcUrl) =>
  createClient(ContactWorkerService, grpcTo(url, key, interceptors));

const unaryOf = <T>(request: { readonly message: unknown }): T => request.message as T;

/** Counts how often each lease was extended; extensions come after each third of the duration. */
function countExtensions() {
  const times = new Map<string, number>();
  const sizes: number[] = [];
  const interceptor = onRpc("extendLeases", (next) => async (request) => {
    const { leaseIds } = unaryOf<ExtendLeasesRequest>(request);
    sizes.push(leaseIds.length);
    const response = await next(request);
    for (const leaseId of leaseIds) times.set(leaseId, (times.get(leaseId) ?? 0) + 1);
    return response;
  });
  return {
    interceptor,
    sizes,
    /** Once every one of so many leases would have run out without its extensions. */
    outlasted: (leases: number) =>
      eventually(() => expect([...times.values()].filter((n) => n >= 4)).toHaveLength(leases), patienceMs),
  };
}

/** Calls that go on until they are let go, and end at once if their lease is lost. */
function longCalls() {
  const goOn = Promise.withResolvers<void>();
  const begun: string[] = [];
  const lost: string[] = [];
  const call: PlaceCall = async ({ leaseId }, signal) => {
    begun.push(leaseId);
    await Promise.race([goOn.promise, once(signal, "abort").then(() => lost.push(leaseId))]);
    signal.throwIfAborted();
    return completed;
  };
  return { call, begun, lost, goOn: () => goOn.resolve() };
}

describe.concurrent("leases of more calls than one request may name", () => {
  test("are all kept, however long the calls are", { timeout }, async () => {
    const batchJobIds = [await startJob(750), await startJob(750)];
    const extensions = countExtensions();
    const calls = longCalls();
    await using _ = work(batchJobIds, {
      client: clientWith([extensions.interceptor]),
      concurrency: 1_500,
      leaseDurationMs: 15_000,
      call: calls.call,
    });
    await extensions.outlasted(1_500);
    expect(Math.max(...extensions.sizes)).toBe(1_000);
    calls.goOn();
    for (const batchJobId of batchJobIds) {
      await untilEnded(batchJobId, patienceMs);
      expect((await jobOf(batchJobId))?.counts).toMatchObject({ total: 750, completed: 750 });
    }
    expect(calls.lost).toEqual([]);
    expect(calls.begun).toHaveLength(1_500);
  });

  test("are kept or lost request by request", { timeout }, async () => {
    const batchJobIds = [await startJob(750), await startJob(750)];
    const calls = longCalls();
    const extensions = countExtensions();
    const unlucky = new Set<string>();
    const failing = onRpc("extendLeases", (next) => async (request) => {
      const { leaseIds } = unaryOf<ExtendLeasesRequest>(request);
      if (leaseIds.length < 1_000 && !leaseIds.some((leaseId) => unlucky.has(leaseId))) return next(request);
      for (const leaseId of leaseIds) unlucky.add(leaseId);
      throw new ConnectError("away", Code.Unavailable);
    });
    await using _ = work(batchJobIds, {
      client: clientWith([failing, extensions.interceptor]),
      concurrency: 1_500,
      leaseDurationMs: 15_000,
      call: calls.call,
    });
    await extensions.outlasted(500);
    await eventually(() => expect(calls.lost).toHaveLength(1_000), patienceMs);
    expect(new Set(calls.lost)).toEqual(unlucky);
    calls.goOn();
    await eventually(async () => {
      const counts = (await Promise.all(batchJobIds.map(jobOf))).map((job) => job?.counts);
      expect(counts.reduce((sum, each) => sum + (each?.completed ?? 0), 0)).toBe(500);
    });
  });
});

describe.concurrent("a call", () => {
  test.for(["cut", "freeze"] as const)(
    "is lost before another worker may call, when the way to the service is gone (%s)",
    { timeout },
    async (harm) => {
      const batchJobId = await startJob(1, [Outcome.UNKNOWN]);
      await using proxy = await startProxy(service.grpcUrl);
      await using workers = new AsyncDisposableStack();
      const events: string[] = [];
      const overtaken = Promise.withResolvers<void>();
      workers.use(
        work([batchJobId], {
          client: clientWith([], service.apiKey, proxy.url.replace(/\/$/, "")),
          concurrency: 1,
          leaseDurationMs,
          async call(_contact, signal) {
            events.push("the first worker calls");
            await proxy[harm]();
            await Promise.race([overtaken.promise, once(signal, "abort")]);
            events.push("the first worker hangs up");
            signal.throwIfAborted();
            return completed;
          },
        }),
      );
      await eventually(() => expect(events).toHaveLength(1));
      workers.use(
        work([batchJobId], {
          async call() {
            events.push("the second worker calls");
            overtaken.resolve();
            return completed;
          },
        }),
      );
      await untilEnded(batchJobId, patienceMs);
      await proxy.mend();
      expect(events).toEqual([
        "the first worker calls",
        "the first worker hangs up",
        "the second worker calls",
      ]);
    },
  );

  test("is lost with its lease when the key is revoked, and the worker throws", { timeout }, async () => {
    const batchJobId = await startJob(3);
    const { key, id } = await makeApiKey(db, { role: "worker" });
    const calls = longCalls();
    const worker = work([batchJobId], {
      client: clientWith([], key),
      concurrency: 2,
      leaseDurationMs,
      call: calls.call,
    });
    const thrown = worker.ended.catch((error: unknown) => error);
    await eventually(() => expect(calls.begun).toHaveLength(2));
    await db
      .updateTable("api_keys")
      .set({ revoked_at: sql`clock_timestamp()` })
      .where("id", "=", id)
      .execute();
    expect(await thrown).toMatchObject({ code: Code.Unauthenticated });
    expect(calls.lost.toSorted()).toEqual(calls.begun.toSorted());
    expect(calls.begun).toHaveLength(2);
  });

  test(
    "is lost with its lease when an extension is refused, and the worker throws",
    { timeout },
    async () => {
      const batchJobId = await startJob(3);
      const calls = longCalls();
      const refusing = onRpc("extendLeases", () => () => {
        throw new ConnectError("no such thing", Code.InvalidArgument);
      });
      const worker = work([batchJobId], {
        client: clientWith([refusing]),
        concurrency: 2,
        leaseDurationMs,
        call: calls.call,
      });
      await expect(worker.ended).rejects.toMatchObject({ code: Code.InvalidArgument });
      expect(calls.lost.toSorted()).toEqual(calls.begun.toSorted());
      expect(calls.begun).toHaveLength(2);
    },
  );

  test("is not placed when the answer with its lease came after the lease's end", { timeout }, async () => {
    const batchJobId = await startJob(1);
    const calls = longCalls();
    let answers = 0;
    const late = onRpc("leaseContacts", (next) => async (request) => {
      const response = await next(request);
      answers += 1;
      if (answers > 1) return response;
      const past = sql<Date>`clock_timestamp() - interval '1 second'`;
      await db.updateTable("leases").set({ expires_at: past }).where("job_id", "=", batchJobId).execute();
      // The worker's own clock is what it judges by.
      await delay(leaseDurationMs / 2);
      return response;
    });
    await using _ = work([batchJobId], { client: clientWith([late]), leaseDurationMs, call: calls.call });
    await untilEnded(batchJobId, patienceMs);
    await eventually(() => expect(answers).toBeGreaterThan(1));
    expect(calls.begun).toEqual([]);
  });

  test("that has ended keeps its lease until its report is taken", { timeout }, async () => {
    const batchJobId = await startJob(1, [Outcome.UNKNOWN]);
    const extensions = countExtensions();
    const taken = Promise.withResolvers<void>();
    const away = onRpc("reportOutcomes", (next) => async (request) => {
      await taken.promise;
      return next(request);
    });
    await using _ = work([batchJobId], {
      client: clientWith([away, extensions.interceptor]),
      concurrency: 1,
      leaseDurationMs,
      call: async () => completed,
    });
    await extensions.outlasted(1);
    taken.resolve();
    await untilEnded(batchJobId);
    expect(await contactOf(batchJobId)).toMatchObject({
      attempts: [{ attempt: 1, outcome: Outcome.COMPLETED }],
    });
  });
});

describe("a worker that is told to stop", () => {
  test("gives back what was leased to it while it did not listen any more", async () => {
    const batchJobId = await startJob(3);
    const calls = longCalls();
    const { promise: told, resolve: tell } = Promise.withResolvers<void>();
    let isLost = false;
    const lost = onRpc("leaseContacts", (next) => async (request) => {
      const response = await next(request);
      if (isLost) return response;
      isLost = true;
      tell();
      throw new ConnectError("nobody listens", Code.Canceled);
    });
    const worker = work([batchJobId], { client: clientWith([lost]), call: calls.call });
    await told;
    worker.stop();
    await worker.ended;
    expect(calls.begun).toEqual([]);
    expect((await jobOf(batchJobId))?.counts).toMatchObject({ pending: 3, dialing: 0 });
    expect((await contactOf(batchJobId)).attempts).toEqual([]);
  });
});

describe("a report", () => {
  test("without a result in it is one of a failed call, and keeps no other back", async () => {
    const batchJobId = await startJob(3);
    const results = [undefined, { outcome: Outcome.COMPLETED, errorCode: 42 }, completed];
    await using _ = work([batchJobId], { call: async ({ number }) => results[number - 1] as never });
    await untilEnded(batchJobId);
    expect((await jobOf(batchJobId))?.counts).toMatchObject({ completed: 1, failed: 2 });
  });

  test("that the service refuses keeps no other back, and makes the worker throw", async () => {
    const batchJobId = await startJob(20);
    const odd = 7;
    const calls = longCalls();
    const leaseIds = new Map<number, string>();
    const refusing = onRpc("reportOutcomes", (next) => async (request) => {
      const { outcomes } = unaryOf<ReportOutcomesRequest>(request);
      if (!outcomes.some(({ leaseId }) => leaseId === leaseIds.get(odd))) return next(request);
      throw new ConnectError("an outcome of next year", Code.InvalidArgument);
    });
    const worker = work([batchJobId], {
      client: clientWith([refusing]),
      concurrency: 20,
      async call(contact, signal) {
        leaseIds.set(contact.number, contact.leaseId);
        return await calls.call(contact, signal);
      },
    });
    await eventually(() => expect(calls.begun).toHaveLength(20));
    calls.goOn();
    await expect(worker.ended).rejects.toMatchObject({ code: Code.InvalidArgument });
    expect((await jobOf(batchJobId))?.counts).toMatchObject({ completed: 19, dialing: 1 });
  });
});
