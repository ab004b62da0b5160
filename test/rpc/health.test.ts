import { getEventListeners } from "node:events";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createHandlerContext, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "vitest";
import {
  Health,
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import { createHealth } from "../../src/rpc/services/health.ts";
import { refusalOf } from "./calls.ts";
import { startEcho, type Listeners } from "./echo.ts";
import { createGrpcJsTransport } from "./grpc-js-transport.ts";

const transports: [string, (listeners: Listeners) => Transport][] = [
  ["gRPC", ({ grpc }) => createGrpcJsTransport(grpc.port)],
  [
    "Connect",
    ({ http }) => createConnectTransport({ baseUrl: `http://127.0.0.1:${http.port}`, httpVersion: "1.1" }),
  ],
];

async function startHealth(transport: (listeners: Listeners) => Transport) {
  const health = createHealth(["test.v1.Echo"]);
  const listeners = await startEcho({ services: [health.entry] });
  return { ...listeners, health, client: createClient(Health, transport(listeners)) };
}

const iterate = <T>(messages: AsyncIterable<T>) => messages[Symbol.asyncIterator]();

describe.each(transports)("health over %s", (name, transport) => {
  test("tells of the server and of each service, and follows a change", async () => {
    await using service = await startHealth(transport);
    const { client, health } = service;
    expect(await client.check({})).toMatchObject({ status: Status.NOT_SERVING });
    health.set(true);
    expect(await client.check({})).toMatchObject({ status: Status.SERVING });
    expect(await client.check({ service: "test.v1.Echo" })).toMatchObject({ status: Status.SERVING });
    health.set(false);
    expect(await client.check({ service: "test.v1.Echo" })).toMatchObject({ status: Status.NOT_SERVING });
  });

  test("does not find a service that is not there", async () => {
    await using service = await startHealth(transport);
    expect(await refusalOf(service.client.check({ service: "test.v1.Other" }))).toMatchObject({
      code: "NotFound",
    });
  });

  test("lists every name", async () => {
    await using service = await startHealth(transport);
    service.health.set(true);
    const { statuses } = await service.client.list({});
    expect(statuses).toEqual({
      "": expect.objectContaining({ status: Status.SERVING }),
      "test.v1.Echo": expect.objectContaining({ status: Status.SERVING }),
    });
  });

  test("is watched: now, and after each change", async () => {
    await using service = await startHealth(transport);
    const statuses = iterate(service.client.watch({ service: "test.v1.Echo" }));
    const next = async () => (await statuses.next()).value?.status;
    expect(await next()).toBe(Status.NOT_SERVING);
    service.health.set(true);
    expect(await next()).toBe(Status.SERVING);
    service.health.set(true);
    service.health.set(false);
    expect(await next()).toBe(Status.NOT_SERVING);
  });

  test("can be watched where there is no such service", async () => {
    await using service = await startHealth(transport);
    const statuses = iterate(service.client.watch({ service: "test.v1.Other" }));
    expect((await statuses.next()).value).toMatchObject({ status: Status.SERVICE_UNKNOWN });
  });

  test("ends its watches when the listener stops", async () => {
    await using service = await startHealth(transport);
    const statuses = iterate(service.client.watch({}));
    await statuses.next();
    const stopped = { gRPC: service.grpc, Connect: service.http }[name]?.stop(60_000);
    expect(await refusalOf(statuses.next())).toMatchObject({ code: "Unavailable" });
    await stopped;
  });
});

/** The method itself, without a transport to hide how it waits. */
function watch(signal: AbortSignal) {
  const health = createHealth([]);
  const method = health.entry.methods["watch"];
  if (method?.kind !== "server_streaming") throw new Error("watch is a stream of answers");
  const context = createHandlerContext({
    service: Health,
    method: Health.method.watch,
    protocolName: "test",
    requestMethod: "POST",
    url: "http://test",
  });
  return {
    health,
    statuses: iterate(method.impl(create(HealthCheckRequestSchema), { ...context, signal })),
  };
}

describe("a watch", () => {
  test("sees a change that comes while its last message is on the way", async () => {
    const { health, statuses } = watch(new AbortController().signal);
    expect((await statuses.next()).value).toMatchObject({ status: Status.NOT_SERVING });
    // The generator stands at its yield: it neither reads nor waits.
    health.set(true);
    expect((await statuses.next()).value).toMatchObject({ status: Status.SERVING });
  });

  test("leaves nothing behind on its signal, however it ends", async () => {
    const controller = new AbortController();
    const { signal } = controller;
    const listening = () => getEventListeners(signal, "abort").length;
    const { health, statuses } = watch(signal);
    await statuses.next();
    const second = statuses.next();
    expect(listening()).toBe(1);
    health.set(true);
    await second;
    expect(listening()).toBe(0);
    const third = statuses.next();
    expect(listening()).toBe(1);
    controller.abort(new ConnectError("over", Code.Canceled));
    expect(await refusalOf(third)).toMatchObject({ code: "Canceled" });
    expect(listening()).toBe(0);
  });
});
