import { once } from "node:events";
import { constants } from "node:http2";
import { connect } from "node:net";
import { setImmediate as nextTurn } from "node:timers";
import { setImmediate } from "node:timers/promises";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { Code, ConnectError } from "@connectrpc/connect";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { readNetworks } from "../../src/domain/networks.ts";
import { type FindAddress, findAddressThrough } from "../../src/rpc/gate/caller-address.ts";
import { observationInterceptor } from "../../src/rpc/calls/observation.ts";
import { createRefused } from "../../src/rpc/gate/refusals.ts";
import { createHealth } from "../../src/rpc/services/health.ts";
import { createStrangers } from "../../src/rpc/gate/strangers.ts";
import { createMetrics } from "../../src/vitals/metrics.ts";
import { eventually } from "../support/eventually.ts";
import { startEcho } from "./echo.ts";
import { openHttp2 } from "./raw.ts";

const known = `Bearer ${generateApiKey()}`;
/** Becomes known when it is looked up. */
const valid = `Bearer ${generateApiKey()}`;
const unknown = `Bearer ${generateApiKey()}`;

const neighbour = `Bearer ${generateApiKey()}`;

const page = () => ({ body: "well\n" });

/** Both listeners, which know two keys, and refuse whoever has another or none, which takes a while. */
async function startRefusing(given: { findAddress?: FindAddress } = {}) {
  let refused = 0;
  let refusedBefore = 0;
  const health = createHealth([]);
  health.set(true);
  const familiar = new Set([known, neighbour]);
  /** Takes a while for whoever is refused. */
  function isRefused(authorization: string): boolean {
    if (authorization === known) refusedBefore = refused;
    if (authorization !== neighbour && familiar.has(authorization)) return false;
    refused += 1;
    for (const untilMs = performance.now() + 3; performance.now() < untilMs;);
    return true;
  }
  const isValid = async (authorization: string) => {
    await setImmediate();
    if (authorization === valid) familiar.add(valid);
    return authorization === valid;
  };
  const listeners = await startEcho({
    ...given,
    services: [health.entry],
    door: () => ({
      paths: [],
      takes: (path) => path === "/a-path",
      authorizationOf: ({ headers }) => headers.authorization ?? "",
      async answer({ headers }, response, settled) {
        response.writeHead(isRefused(headers.authorization ?? "") ? 401 : 200).end();
        settled();
      },
    }),
    pages: { "/healthz": page, "/readyz": page, "/metrics": page },
    strangers: createStrangers({ isFamiliar: (authorization) => familiar.has(authorization), isValid }),
    gate(context) {
      const authorization = context.requestHeader.get("authorization") ?? "";
      if (context.service === Health) return;
      if (isRefused(authorization)) throw new ConnectError("who are you?", Code.Unauthenticated);
    },
  });
  return { ...listeners, refused: () => refused, refusedBefore: () => refusedBefore };
}

async function request(port: number, text: string) {
  const socket = connect(port, "127.0.0.1");
  socket.write(text);
  try {
    return await once(socket, "data");
  } finally {
    socket.destroy();
  }
}

/** A thousand connections from one address, with a call without a key on each, of which few have been begun. */
async function flooding(port: number) {
  const sockets = Array.from({ length: 1_000 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  await Promise.all(sockets.map((socket) => once(socket, "connect")));
  for (const socket of sockets) socket.write(post(""));
  await Promise.any(sockets.map((socket) => once(socket, "data")));
  return sockets;
}

const head = (authorization: string) =>
  `POST /test.v1.Echo/One HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nauthorization: ${authorization}\r\n`;
const post = (authorization: string) => `${head(authorization)}content-length: 2\r\n\r\n{}`;
const get = (authorization: string) =>
  `GET /a-path HTTP/1.1\r\nhost: x\r\nauthorization: ${authorization}\r\n\r\n`;
const empty = encodeEnvelope(0, new Uint8Array());

/** Sends a hundred calls over gRPC, and then one under a known key, which is let in before most of them. */
async function holdsUpNobody(
  listeners: Awaited<ReturnType<typeof startRefusing>>,
  authorization: string,
): Promise<void> {
  using hostile = openHttp2(listeners.grpc.port);
  using client = openHttp2(listeners.grpc.port);
  await Promise.all([once(hostile.session, "connect"), once(client.session, "connect")]);
  const burst = Array.from({ length: 100 }, () => hostile.request("One", { authorization }));
  for (const stream of burst) stream.resume().end(empty);
  const call = client.request("One", { authorization: known });
  call.resume().end(empty);
  const [trailers] = await once(call, "trailers");
  expect(trailers).toMatchObject({ "grpc-status": "0" });
  expect(listeners.refusedBefore()).toBeLessThan(50);
  // They are answered all the same.
  await Promise.all(burst.map((stream) => stream.closed || once(stream, "close")));
}

describe.each([
  ["without a key", ""],
  ["with a wrong key", unknown],
])("a burst of calls %s", (_, authorization) => {
  test("does not hold up one under a known key, on gRPC", async () => {
    await using listeners = await startRefusing();
    await holdsUpNobody(listeners, authorization);
    expect(listeners.refused()).toBe(100);
  });

  test("does not hold up one under a known key, on HTTP", async () => {
    await using listeners = await startRefusing();
    const open = async () => {
      const socket = connect(listeners.http.port, "127.0.0.1");
      await once(socket, "connect");
      return socket;
    };
    const hostile = await Promise.all(Array.from({ length: 100 }, open));
    const client = await open();
    const answers = hostile.map((socket) => once(socket, "data"));
    for (const socket of hostile) socket.write(post(authorization));
    client.write(post(known));
    const [answer] = await once(client, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
    expect(listeners.refusedBefore()).toBeLessThan(50);
    await Promise.all(answers);
    expect(listeners.refused()).toBe(100);
    for (const socket of [...hostile, client]) socket.destroy();
  });
});

test("a burst under one known key does not hold up a call under another, on gRPC", async () => {
  await using listeners = await startRefusing();
  await holdsUpNobody(listeners, neighbour);
  expect(listeners.refused()).toBe(100);
});

describe.each([
  ["calls of RPCs", post],
  ["requests of HTTP paths", (authorization: string) => get(authorization)],
])("a burst of %s under one known key does not hold up a call under another", (_, ask) => {
  test.each([
    ["each on a connection of its own", 100, 1],
    ["written at once on a few connections", 4, 25],
  ])("%s", async (__, connections, requests) => {
    await using listeners = await startRefusing();
    const { port } = listeners.http;
    const sockets = Array.from({ length: connections }, () => connect(port, "127.0.0.1"));
    const client = connect(port, "127.0.0.1");
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    // One connection is accepted in a turn of the event loop: this one comes after the others.
    client.write(ask(known));
    await once(client, "data");
    for (const socket of sockets) socket.resume().write(ask(neighbour).repeat(requests));
    client.write(ask(known));
    const [answer] = await once(client, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
    expect(listeners.refusedBefore()).toBeLessThan(50);
    // They are answered all the same.
    await eventually(() => expect(listeners.refused()).toBe(100));
    for (const socket of [...sockets, client]) socket.destroy();
  });
});

describe("a connection with too many calls that wait", () => {
  test("is closed if nobody has a key there, on gRPC", async () => {
    await using listeners = await startRefusing();
    using hostile = openHttp2(listeners.grpc.port);
    await once(hostile.session, "connect");
    const closed = new Promise((resolve) => hostile.session.once("close", resolve));
    for (let i = 0; i < 240; i += 1) hostile.request("One").end(empty);
    await closed;
    expect(listeners.refused()).toBeLessThan(140);
  });

  test("stays open for those who have one, and its flood is refused call by call, on gRPC", async () => {
    await using listeners = await startRefusing();
    using shared = openHttp2(listeners.grpc.port);
    const good = async () => {
      const call = shared.request("One", { authorization: known });
      call.resume().end(empty);
      const [trailers] = await once(call, "trailers");
      return trailers;
    };
    expect(await good()).toMatchObject({ "grpc-status": "0" });
    const flood = Array.from({ length: 200 }, () => shared.request("One"));
    for (const stream of flood) stream.resume().end(empty);
    expect(await good()).toMatchObject({ "grpc-status": "0" });
    await Promise.all(flood.map((stream) => stream.closed || once(stream, "close")));
    expect(shared.session.destroyed).toBe(false);
    const unseen = flood.filter(({ rstCode }) => rstCode === 7);
    expect(unseen.length).toBeGreaterThan(30);
    expect(unseen.length + listeners.refused()).toBe(200);
  });

  test("is closed, on HTTP", async () => {
    await using listeners = await startRefusing();
    const socket = connect(listeners.http.port, "127.0.0.1").on("error", () => {});
    socket.resume();
    const closed = once(socket, "close");
    socket.write(post("").repeat(400));
    await closed;
    expect(listeners.refused()).toBeLessThan(200);
  });
});

describe("while a thousand calls without a key wait", () => {
  test.each(["/healthz", "/readyz", "/metrics"])("%s is answered before them", async (path) => {
    await using listeners = await startRefusing();
    const flood = await flooding(listeners.http.port);
    const [answer] = await request(listeners.http.port, `GET ${path} HTTP/1.1\r\nhost: x\r\n\r\n`);
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
    expect(listeners.refused()).toBeLessThan(200);
    for (const socket of flood) socket.destroy();
  });

  test("a health check is answered before them, on HTTP", async () => {
    await using listeners = await startRefusing();
    const flood = await flooding(listeners.http.port);
    const [answer] = await request(
      listeners.http.port,
      "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
    );
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
    expect(listeners.refused()).toBeLessThan(200);
    for (const socket of flood) socket.destroy();
  });

  test("a health check is answered before them, on gRPC", async () => {
    await using listeners = await startRefusing();
    const flood = await flooding(listeners.http.port);
    using client = openHttp2(listeners.grpc.port);
    const check = client.request("", { ":path": "/grpc.health.v1.Health/Check" });
    check.resume().end(empty);
    const [trailers] = await once(check, "trailers");
    expect(trailers).toMatchObject({ "grpc-status": "0" });
    expect(listeners.refused()).toBeLessThan(200);
    for (const socket of flood) socket.destroy();
  });
});

/** 100 connections repeat their calls, and each of them was answered at least once. */
async function startFlooded() {
  const listeners = await startRefusing();
  const sockets = Array.from({ length: 100 }, () =>
    connect(listeners.http.port, "127.0.0.1").on("error", () => {}),
  );
  for (const socket of sockets) socket.on("data", () => socket.write(post(unknown))).write(post(unknown));
  await eventually(() => expect(listeners.refused()).toBeGreaterThan(250), 30_000);
  return {
    ...listeners,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await listeners[Symbol.asyncDispose]();
    },
  };
}

describe("while 100 connections go on with wrong keys", () => {
  test("calls under a valid key that nobody has seen yet wait for none of them", async () => {
    await using flooded = await startFlooded();
    using client = openHttp2(flooded.grpc.port);
    await once(client.session, "connect");
    const before = flooded.refused();
    const calls = Array.from({ length: 12 }, () => client.request("One", { authorization: valid }));
    for (const call of calls) call.resume().end(empty);
    const ends = await Promise.all(calls.map((call) => once(call, "trailers")));
    expect(ends.filter(([trailers]) => trailers["grpc-status"] !== "0")).toEqual([]);
    expect(flooded.refused() - before).toBeLessThan(50);
  });
});

test("a call under a wrong key that is one too many is refused late, so that its repeat is no flood", async () => {
  const strangers = createStrangers({ isFamiliar: () => false, isValid: async () => false });
  const connection = {};
  const { promise: turnedAway, resolve: turnAway } = Promise.withResolvers<string>();
  const arrive = (): void =>
    strangers.admit({
      authorization: unknown,
      wanted: "work",
      connection,
      address: "127.0.0.1",
      isProxied: false,
      begin() {},
      turnAway,
    });
  const beganMs = performance.now();
  // As many as are looked up at once, and then more than wait.
  for (let batch = 0; batch < 3; batch += 1) {
    for (let i = 0; i < 500; i += 1) arrive();
    await setImmediate();
  }
  expect(await turnedAway).toBe("call");
  expect(performance.now() - beganMs).toBeGreaterThanOrEqual(999);
});

describe("under a key whose calls are refused again and again", () => {
  const eager = `Bearer ${generateApiKey()}`;
  const strangers = createStrangers({ isFamiliar: () => true, isValid: async () => true });

  /** Has so many calls come at once on one connection; answers how many of them were begun at once. */
  function come(
    authorization: string,
    count: number,
    {
      isInVain,
      turnAway = () => {},
      begins = () => {},
    }: { isInVain?: boolean; turnAway?: () => void; begins?: () => void } = {},
  ): number {
    let begun = 0;
    const arrival = { authorization, wanted: "work", connection: {}, address: "127.0.0.1" } as const;
    for (let i = 0; i < count; i += 1) {
      strangers.admit({
        ...arrival,
        isProxied: false,
        begin(settled) {
          begun += 1;
          begins();
          if (isInVain !== undefined) settled.ended?.(isInVain);
          nextTurn(settled);
        },
        turnAway,
      });
    }
    return begun;
  }

  test("they take turns in what is left, and others begin at once, as where most are not refused", async () => {
    for (let i = 0; i < 10; i += 1) {
      come(eager, 9, { isInVain: true });
      for (const isInVain of [false, false, true]) come(neighbour, 9, { isInVain });
      await setImmediate();
    }
    const begun: number[][] = [];
    // The machine may take a turn's time for something else, but not that of all of them.
    for (let turn = 0; turn < 10; turn += 1) {
      await setImmediate();
      expect(come(eager, 100)).toBeLessThanOrEqual(16);
      begun.push([come(neighbour, 9), come(known, 9)]);
    }
    expect(begun).toContainEqual([9, 9]);
    // Once it has kept still for a while it has turns like others.
    await eventually(() => expect(come(eager, 17)).toBe(17));
  });

  test("so do those that came with them, before they were refused", async () => {
    let begun = 0;
    const burst = `Bearer ${generateApiKey()}`;
    come(burst, 500, { isInVain: true, begins: () => (begun += 1) });
    for (let turn = 0; turn < 10; turn += 1) await setImmediate();
    // Of others' calls 32 would have been begun in each of these turns.
    expect(begun).toBeLessThan(250);
    await eventually(() => expect(begun).toBe(500));
  });

  test("a call too many for its connection is refused late, so that its repeat is no flood", async () => {
    const { promise: turnedAway, resolve: turnAway } = Promise.withResolvers<void>();
    for (let i = 0; i < 10; i += 1) {
      await setImmediate();
      come(eager, 9, { isInVain: true });
    }
    const beganMs = performance.now();
    come(eager, 1_000, { turnAway });
    await turnedAway;
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(999);
  });
});

test.each(["the gate", "the handler"])("what %s refuses as too much, or wrong, is in vain", async (by) => {
  const metrics = createMetrics();
  const logger = pino({ level: "silent" });
  const refused = createRefused({ metrics, logger });
  let refusal: ConnectError | undefined;
  const ends: boolean[] = [];
  const ended = (isInVain: boolean) => void ends.push(isInVain);
  const refuse = () => {
    if (refusal !== undefined) throw refusal;
    return {};
  };
  await using listeners = await startEcho({
    strangers: { admit: ({ begin }) => begin(Object.assign(() => {}, { ended })), isInUse: () => true },
    refused,
    observe: [observationInterceptor(metrics, logger)],
    gate(context) {
      if (by !== "the gate" || refusal === undefined) return;
      refused(context, refusal);
      throw refusal;
    },
    one: refuse,
    async *down() {
      yield refuse();
    },
  });
  using client = openHttp2(listeners.grpc.port);
  async function callAll(): Promise<boolean[]> {
    for (const rpc of ["One", "Down"]) {
      await once(client.request(rpc).resume().end(empty), "close");
    }
    const url = `http://127.0.0.1:${listeners.http.port}/test.v1.Echo/One`;
    await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    await eventually(() => expect(ends).toHaveLength(3));
    return ends.splice(0);
  }
  expect(await callAll()).toEqual([false, false, false]);
  for (const code of [Code.ResourceExhausted, Code.InvalidArgument, Code.PermissionDenied]) {
    refusal = new ConnectError("no", code);
    expect(await callAll()).toEqual([true, true, true]);
  }
  refusal = new ConnectError("not now", Code.Unavailable);
  expect(await callAll()).toEqual([false, false, false]);
});

test("a call that is left while it waits is never begun", async () => {
  await using listeners = await startRefusing();
  using hostile = openHttp2(listeners.grpc.port);
  await once(hostile.session, "connect");
  const burst = Array.from({ length: 100 }, () => hostile.request("One"));
  for (const stream of burst) stream.resume().end(empty);
  await eventually(() => expect(listeners.refused()).toBeGreaterThan(0));
  hostile.close();
  using other = openHttp2(listeners.grpc.port);
  const last = other.request("One").resume().end(empty);
  await once(last, "response");
  expect(listeners.refused()).toBeLessThan(100);
});

const from = (address: string) => ({ "x-forwarded-for": `198.51.100.7, ${address}` });

describe("behind a proxy that is trusted", () => {
  test("a flood is refused call by call on its connection, and another address has its turn", async () => {
    const findAddress = findAddressThrough(readNetworks("127.0.0.0/8"));
    await using listeners = await startRefusing({ findAddress });
    using proxy = openHttp2(listeners.grpc.port);
    await once(proxy.session, "connect");
    const flood = Array.from({ length: 200 }, () => proxy.request("One", from("203.0.113.1")).resume());
    const other = proxy.request("One", from("203.0.113.2")).resume();
    await once(other, "response");
    expect(listeners.refused()).toBeLessThan(100);
    await eventually(() => expect(flood.every(({ closed }) => closed)).toBe(true), 20_000);
    const codes = new Set(flood.map(({ rstCode }) => rstCode));
    expect([...codes].toSorted()).toEqual([constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_REFUSED_STREAM]);
    expect(proxy.session.closed).toBe(false);
  });

  test("what an HTTP request was forwarded for is what counts", async () => {
    const seen: (string | undefined)[] = [];
    await using listeners = await startEcho({
      findAddress: findAddressThrough(readNetworks("127.0.0.0/8")),
      strangers: {
        admit(arrival) {
          seen.push(arrival.address);
          arrival.begin(() => {});
        },
        isInUse: () => false,
      },
    });
    const url = `http://127.0.0.1:${listeners.http.port}/nothing`;
    await fetch(url, { headers: from("203.0.113.1") });
    await fetch(url, { headers: { forwarded: 'for="[2001:db8::1]:80"' } });
    await fetch(url);
    expect(seen).toEqual(["203.0.113.1", "2001:db8::1", "127.0.0.1"]);
  });
});

test("wrong keys from all over a /64 are counted together, and those of its neighbour apart", async () => {
  const strangers = createStrangers({ isFamiliar: () => false, isValid: () => Promise.resolve(false) });
  const refusalOf = (address: string) =>
    new Promise<unknown>((resolve) => {
      strangers.admit({
        authorization: unknown,
        wanted: "work",
        connection: {},
        address,
        isProxied: false,
        begin(settled) {
          settled();
          resolve(settled.refusal);
        },
        turnAway: resolve,
      });
    });
  for (let i = 0; i < 20; i += 1) {
    expect(await refusalOf(`2001:db8:1:2:${i}::9`)).toMatchObject({ reason: "invalid_api_key" });
  }
  expect(await refusalOf("2001:db8:1:2:ffff::9")).toMatchObject({ reason: "rate_limited" });
  expect(await refusalOf("2001:db8:1:3::9")).toMatchObject({ reason: "invalid_api_key" });
});
