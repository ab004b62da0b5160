import { randomBytes } from "node:crypto";
import { pino } from "pino";
import { afterAll, describe, expect, inject, test } from "vitest";
import { generateApiKey } from "../../src/api-keys.ts";
import { openDatabase } from "../../src/postgres/database.ts";
import { startService } from "../../src/service.ts";
import { makeApiKey } from "../support/api-key.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startProxy } from "../support/proxy.ts";
import { bothListeners, callerFor, everyCaller } from "./callers.ts";

const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const proxy = stack.use(await startProxy(database.url));
const apiKey = generateApiKey();
const replica = stack.use(
  await startService({
    databaseUrl: proxy.url,
    databasePoolSize: 10,
    redisUrl: inject("redisUrl"),
    redisPrefix: `test-${randomBytes(6).toString("hex")}`,
    host: "127.0.0.1",
    port: 0,
    grpcPort: 0,
    bootstrapApiKey: apiKey,
    shutdownTimeoutMs: 5_000,
    logger: pino({ level: "silent" }),
  }),
);
afterAll(() => stack.disposeAsync());

const ports = {
  apiKey,
  httpUrl: `http://127.0.0.1:${replica.port}`,
  grpcUrl: `http://127.0.0.1:${replica.grpcPort}`,
};
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
  const response = await fetch(`${ports.httpUrl}${path}`, { signal: AbortSignal.timeout(5_000) });
  await response.text();
  return response.status;
}

/** How long the work takes, with what it answers. */
async function timed<T>(work: Promise<T>): Promise<{ answer: T; seconds: number }> {
  const began = performance.now();
  const answer = await work;
  return { answer, seconds: (performance.now() - began) / 1000 };
}

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
    expect(await call("listBatchJobs", {})).toHaveProperty("ok");
    await whileAway(async () => {
      const read = await timed(call("listBatchJobs", {}));
      const command = await timed(call("createBatchJob", aJob));
      expect([read.answer, command.answer]).toEqual([unavailable, unavailable]);
      expect(Math.max(read.seconds, command.seconds)).toBeLessThan(2);
    });
  });

  test.each(bothListeners)("%s is not told that its unknown key is wrong", async (name) => {
    const call = callerFor(name, { ...ports, apiKey: generateApiKey() });
    const { answer, seconds } = await whileAway(() => timed(call("listBatchJobs", {})));
    expect(answer).toEqual(unavailable);
    expect(seconds).toBeLessThan(2);
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
    expect(await call("listBatchJobs", {})).toHaveProperty("ok");
    const { answer, seconds } = await whileAway(
      () => timed(call("listBatchJobs", {}, { timeoutMs: 5_000 })),
      "freeze",
    );
    expect(answer).toEqual(unavailable);
    expect(seconds).toBeLessThan(2);
  });

  test("the service says within 2 seconds that it is not ready", async () => {
    expect(await page("/readyz")).toBe(200);
    const { answer, seconds } = await whileAway(() => timed(page("/readyz")), "freeze");
    expect(answer).toBe(503);
    expect(seconds).toBeLessThan(2);
  });
});

test("a key that was not known while Postgres was away is let in when it is back", async () => {
  const db = openDatabase({ url: database.url, poolSize: 1 });
  const { key } = await makeApiKey(db, { role: "viewer" });
  await db.destroy();
  const call = callerFor("plain fetch", { ...ports, apiKey: key });
  expect(await whileAway(() => call("listBatchJobs", {}))).toEqual(unavailable);
  expect(await call("listBatchJobs", {})).toHaveProperty("ok");
});
