import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { pino } from "pino";
import { expect, test } from "vitest";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";

import { createMetrics } from "../../src/vitals/metrics.ts";
import { createErrorTranslation } from "../../src/rpc/errors.ts";
import { createHealth } from "../../src/rpc/services/health.ts";
import { openCallsInterceptor } from "../../src/rpc/calls/open-calls.ts";
import { refusalOf } from "./calls.ts";
import { echoClient } from "./clients.ts";
import { startEcho } from "./echo.ts";
import { createGrpcJsTransport } from "./grpc-js-transport.ts";

const forEver = { most: 1_000, maxAgeMs: 600_000 };

/** Both listeners, of which nobody has a key. */
async function startKeyless(keyless: { most: number; maxAgeMs: number }, streamMaxAgeMs = Infinity) {
  const metrics = createMetrics();
  const health = createHealth(["test.v1.Echo"]);
  const listeners = await startEcho({
    services: [health.entry],
    interceptors: [
      openCallsInterceptor({
        whileValid: () => () => {},
        translate: createErrorTranslation(pino({ level: "silent" }), () => undefined),
        metrics,
        streamMaxAgeMs,
        keyless,
      }),
    ],
  });
  return {
    ...listeners,
    health,
    overGrpc: createClient(Health, createGrpcJsTransport(listeners.grpc.port)),
    overHttp: createClient(
      Health,
      createConnectTransport({ baseUrl: `http://127.0.0.1:${listeners.http.port}`, httpVersion: "1.1" }),
    ),
    isOpen: async () => (await metrics.openCalls.get()).values.reduce((sum, { value }) => sum + value, 0),
  };
}

test("streams without a key are so many at most, on both ports together, and each that ends makes room", async () => {
  await using service = await startKeyless({ ...forEver, most: 3 });
  const stop = new AbortController();
  const watch = (client = service.overGrpc) =>
    client.watch({}, { signal: stop.signal })[Symbol.asyncIterator]();
  for (const client of [service.overGrpc, service.overGrpc, service.overHttp]) {
    expect((await watch(client).next()).value).toBeDefined();
  }
  for (const client of [service.overGrpc, service.overHttp]) {
    expect(await refusalOf(watch(client).next())).toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringMatching(/^.+\.$/),
      info: [{ metadata: { code: "limit_exceeded", limit: "3" } }],
    });
  }
  // What has a single answer is not among them.
  expect(await service.overGrpc.check({})).toBeDefined();
  stop.abort();
  await expect.poll(service.isOpen).toBe(0);
  const again = service.overHttp.watch({})[Symbol.asyncIterator]();
  expect((await again.next()).value).toBeDefined();
});

test("a thousand streams that ask for nothing hold no more places than there are", async () => {
  await using service = await startKeyless({ ...forEver, most: 50 });
  const clients = Array.from({ length: 10 }, () =>
    createClient(Health, createGrpcJsTransport(service.grpc.port, { "grpc.use_local_subchannel_pool": 1 })),
  );
  const stop = new AbortController();
  const first = clients.flatMap((client) =>
    Array.from({ length: 100 }, async () => {
      const { value } = await client.watch({}, { signal: stop.signal })[Symbol.asyncIterator]().next();
      return value;
    }),
  );
  const answers = await Promise.allSettled(first);
  expect(answers.filter(({ status }) => status === "fulfilled")).toHaveLength(50);
  expect(await service.isOpen()).toBe(50);
  stop.abort();
});

test("a stream without a key is ended after a time, with word that it may be opened again", async () => {
  await using service = await startKeyless({ ...forEver, maxAgeMs: 200 });
  for (const client of [service.overGrpc, service.overHttp]) {
    const statuses = client.watch({})[Symbol.asyncIterator]();
    await statuses.next();
    expect(await refusalOf(statuses.next())).toMatchObject({ code: "Unavailable" });
    expect((await client.watch({})[Symbol.asyncIterator]().next()).value).toBeDefined();
  }
});

test("of what is as old as a connection may become only streams of answers are ended", async () => {
  const entered = Promise.withResolvers<void>();
  await using service = await startKeyless(forEver, 200);
  const statuses = service.overGrpc.watch({})[Symbol.asyncIterator]();
  await statuses.next();
  async function* notes() {
    yield { text: "one" };
    entered.resolve();
    await delay(600);
    yield { text: "two" };
  }
  const up = echoClient("grpc-js", service).up(notes());
  await entered.promise;
  expect(await refusalOf(statuses.next())).toMatchObject({ code: "Unavailable" });
  expect(await up).toMatchObject({ text: "one two" });
});
