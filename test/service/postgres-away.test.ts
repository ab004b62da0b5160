import { type Transport, createClient } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { afterAll, describe, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { makeApiKey } from "../support/api-key.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { createGrpcJsTransport } from "../rpc/grpc-js-transport.ts";
import { refusal } from "../support/refusal.ts";
import { startProxy } from "../support/servers/proxy.ts";
import { startTestService } from "../support/service.ts";
import { bothListeners, callerFor, everyCaller } from "./callers.ts";

const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const proxy = stack.use(await startProxy(database.url));
const ports = stack.use(await startTestService({ beside: { databaseUrl: proxy.url } }));
afterAll(() => stack.disposeAsync());

const ask = callerFor("plain fetch", ports);

const unavailable = {
  refused: {
    code: "unavailable",
    message: expect.stringMatching(/^.+\.$/),
    details: [
      {
        "@type": "google.rpc.ErrorInfo",
        reason: "UNAVAILABLE",
        domain: "callsheet",
        metadata: { code: "unavailable" },
      },
      { "@type": "google.rpc.RetryInfo", retryDelay: "1s" },
    ],
  },
};

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1" };

async function page(path: string) {
  const response = await fetch(`${ports.httpUrl}${path}`, { signal: AbortSignal.timeout(20_000) });
  await response.text();
  return response.status;
}

/** How long the work takes, with what it answers. */
async function timed<T>(work: Promise<T>): Promise<{ answer: T; seconds: number }> {
  const began = performance.now();
  const answer = await work;
  return { answer, seconds: (performance.now() - began) / 1000 };
}

/**
 * The two seconds of the promise, and what a busy machine adds to them: some times what the same call took just
 * before, while Postgres was there. A call that nobody ends waits for its statement's 30 seconds.
 */
const atMost = (usual: { seconds: number }): number => 2 + 10 * usual.seconds;

/** Does the work while Postgres is away, and goes on when it is back. */
async function whileAway<T>(work: () => Promise<T>, way: "cut" | "freeze" = "cut"): Promise<T> {
  await proxy[way]();
  try {
    return await work();
  } finally {
    await proxy.mend();
    await eventually(async () => expect(await ask("listBatchJobs", {})).toHaveProperty("ok"));
  }
}

describe("while Postgres refuses connections", () => {
  test.each(everyCaller)("%s is told within 2 seconds to try again", async (name) => {
    const call = callerFor(name, ports);
    const usual = await timed(call("listBatchJobs", {}));
    expect(usual.answer).toHaveProperty("ok");
    await whileAway(async () => {
      const read = await timed(call("listBatchJobs", {}));
      const command = await timed(call("createBatchJob", aJob));
      expect([read.answer, command.answer]).toEqual([unavailable, unavailable]);
      expect(Math.max(read.seconds, command.seconds)).toBeLessThan(atMost(usual));
    });
  });

  test.each(bothListeners)("%s is not told that its unknown key is wrong", async (name) => {
    const call = callerFor(name, { ...ports, apiKey: generateApiKey() });
    const usual = await timed(call("listBatchJobs", {}));
    const { answer, seconds } = await whileAway(() => timed(call("listBatchJobs", {})));
    expect(answer).toEqual(unavailable);
    expect(seconds).toBeLessThan(atMost(usual));
  });

  test("the service lives, is not ready, and is ready again afterwards", async () => {
    await whileAway(async () => {
      expect(await page("/healthz")).toBe(200);
      expect(await page("/readyz")).toBe(503);
    });
    expect(await page("/readyz")).toBe(200);
  });
});

describe("while Postgres keeps connections open and answers nothing", () => {
  test("a caller is told within 2 seconds to try again", async () => {
    const call = callerFor("grpc-js", ports);
    const usual = await timed(call("listBatchJobs", {}));
    expect(usual.answer).toHaveProperty("ok");
    const { answer, seconds } = await whileAway(
      () => timed(call("listBatchJobs", {}, { timeoutMs: 20_000 })),
      "freeze",
    );
    expect(answer).toEqual(unavailable);
    expect(seconds).toBeLessThan(atMost(usual));
  });

  test("the service says within 2 seconds that it is not ready", async () => {
    const usual = await timed(page("/readyz"));
    expect(usual.answer).toBe(200);
    const { answer, seconds } = await whileAway(() => timed(page("/readyz")), "freeze");
    expect(answer).toBe(503);
    expect(seconds).toBeLessThan(atMost(usual));
  });
});

describe.each(["cut", "freeze"] as const)("when Postgres is lost (%s)", (way) => {
  const authorization = { headers: { authorization: `Bearer ${ports.apiKey}` } };
  const http = { baseUrl: ports.httpUrl, httpVersion: "1.1" as const };
  const transports: Record<string, () => Transport> = {
    "grpc-js": () => createGrpcJsTransport(new URL(ports.grpcUrl).host),
    "connect-node gRPC": () => createGrpcTransport({ baseUrl: ports.grpcUrl }),
    Connect: () => createConnectTransport(http),
    "gRPC-Web": () => createGrpcWebTransport(http),
  };

  test.each(Object.entries(transports))(
    "a stream of jobs over %s ends within 2 seconds, and none begins",
    async (_name, open) => {
      const transport = open();
      const jobs = createClient(BatchJobService, transport);
      const { batchJobId } = await jobs.createBatchJob(aJob, authorization);
      const watch = () =>
        jobs.watchBatchJobs({ batchJobIds: [batchJobId] }, authorization)[Symbol.asyncIterator]();
      const health = createClient(Health, transport).watch({})[Symbol.asyncIterator]();
      const stream = watch();
      const usual = await timed(stream.next());
      expect(usual.answer.value?.batchJob).toMatchObject({ batchJobId });
      expect((await health.next()).value).toMatchObject({ status: 1 });
      const next = health.next();
      let hasHealthEnded = false;
      const settle = () => (hasHealthEnded = true);
      next.then(settle, settle);
      await whileAway(async () => {
        for (const each of [stream, watch()]) {
          const { answer, seconds } = await timed(refusal(each.next()));
          expect(answer).toMatchObject({ code: "Unavailable", reason: "unavailable" });
          expect(seconds).toBeLessThan(atMost(usual));
        }
      }, way);
      expect((await watch().next()).value?.batchJob).toMatchObject({ batchJobId });
      // It is about the server, which is there.
      expect(hasHealthEnded).toBe(false);
    },
  );
});

test("a key that was not known while Postgres was away is let in when it is back", async () => {
  const db = openDatabase({ url: database.url, poolSize: 1 });
  const { key } = await makeApiKey(db, { role: "viewer" });
  await db.destroy();
  const call = callerFor("plain fetch", { ...ports, apiKey: key });
  expect(await whileAway(() => call("listBatchJobs", {}))).toEqual(unavailable);
  expect(await call("listBatchJobs", {})).toHaveProperty("ok");
});
