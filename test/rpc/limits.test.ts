import { once } from "node:events";
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { describe, expect, test } from "vitest";
import { createBytesInHand } from "../../src/rpc/requests/bytes-in-hand.ts";
import { createHealth } from "../../src/rpc/services/health.ts";
import { eventually } from "../support/eventually.ts";
import { startEcho, type Listeners } from "./echo.ts";
import { openHttp2, sendHttp } from "./raw.ts";

const mebibyte = 1024 * 1024;

/** Listeners with a health service, which needs no key. */
const startHealth = () => startEcho({ services: [createHealth([]).entry] });

const checkPath = "/grpc.health.v1.Health/Check";

/** The end of a gRPC call that sends this and no more, and does not end its request. */
async function grpc({ grpc: { port } }: Listeners, body: Uint8Array, headers = {}) {
  using client = openHttp2(port);
  const stream = client.request("One", { ":path": checkPath, ...headers });
  stream.write(body);
  const answer: Record<string, unknown> = {};
  stream.on("response", (header) => Object.assign(answer, header));
  stream.on("trailers", (trailer) => Object.assign(answer, trailer));
  stream.resume();
  await once(stream, "end");
  return answer;
}

const post = ({ http }: Listeners, type: string, body: Uint8Array<ArrayBuffer> | string, headers = {}) =>
  fetch(`http://127.0.0.1:${http.port}${checkPath}`, {
    method: "POST",
    headers: { "content-type": type, ...headers },
    body,
  });

/** A field that no message has, of so many bytes. */
const unknownField = (size: number) => {
  const head = [
    0x7a,
    (size & 0x7f) | 0x80,
    ((size >> 7) & 0x7f) | 0x80,
    ((size >> 14) & 0x7f) | 0x80,
    size >> 21,
  ];
  return Buffer.concat([Buffer.from(head), Buffer.alloc(size)]);
};
const manyUnknown = Buffer.alloc(2_000, Buffer.from([0x78, 0x01]));

/** Opens a request of Echo.One that says how large it will be, and sends most of it. */
function openOnHttp({ http }: Listeners, size: number) {
  const socket = connect(http.port, "127.0.0.1").on("error", () => {});
  const head = `POST /test.v1.Echo/One HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/proto\r\n`;
  socket.write(`${head}content-length: ${size}\r\n\r\n`);
  socket.write(Buffer.alloc(size - 1));
  return socket;
}

function openOnGrpc(client: ReturnType<typeof openHttp2>, size: number) {
  const stream = client.request("One");
  stream.resume();
  stream.write(encodeEnvelope(0, new Uint8Array(size)).subarray(0, size));
  return stream;
}

const echo = async ({ http }: Listeners, text: string) => {
  const response = await fetch(`http://127.0.0.1:${http.port}/test.v1.Echo/One`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text }),
  });
  return { status: response.status, text: await response.text() };
};

function counted(maxBytes: number) {
  const seen = { bytes: 0 };
  return { seen, bytesInHand: createBytesInHand({ maxBytes, onChange: (bytes) => (seen.bytes = bytes) }) };
}

const ask = (listeners: Listeners, path: string, init: RequestInit = {}) =>
  fetch(`http://127.0.0.1:${listeners.http.port}${path}`, init);
describe("what needs no key", () => {
  const tooLarge = unknownField(5_000);

  test("takes four kilobytes and no more, on gRPC", async () => {
    await using listeners = await startHealth();
    using client = openHttp2(listeners.grpc.port);
    const small = client.request("One", { ":path": checkPath });
    small.end(encodeEnvelope(0, unknownField(4_000))).resume();
    const [trailer] = await once(small, "trailers");
    expect(trailer).toMatchObject({ "grpc-status": "0" });
    // The length says it: the bytes need not come.
    const large = await grpc(listeners, encodeEnvelope(0, tooLarge).subarray(0, 10));
    expect(large).toMatchObject({ "grpc-status": "8" });
  });

  test("takes no more after decompression, on gRPC", async () => {
    await using listeners = await startHealth();
    const bomb = encodeEnvelope(1, gzipSync(unknownField(16 * mebibyte - 10)));
    expect(bomb.length).toBeLessThan(17_000);
    const small = encodeEnvelope(1, gzipSync(tooLarge));
    for (const body of [small, bomb]) {
      const answer = await grpc(listeners, body, { "grpc-encoding": "gzip" });
      expect(answer).toMatchObject({ "grpc-status": "8" });
    }
  });

  test("takes four kilobytes and no more, on HTTP, whatever its length says", async () => {
    await using listeners = await startHealth();
    expect((await post(listeners, "application/proto", unknownField(4_000))).status).toBe(200);
    expect((await post(listeners, "application/proto", tooLarge)).status).toBe(429);
    const head = `POST ${checkPath} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/proto\r\n`;
    const announced = await sendHttp(
      listeners.http.port,
      `${head}content-length: 16000000\r\n\r\n`,
      /larger/,
    );
    expect(announced).toMatch(/^HTTP\/1.1 429 /);
    const chunked = `${head}transfer-encoding: chunked\r\n\r\n1389\r\n${" ".repeat(0x1389)}\r\n`;
    expect(await sendHttp(listeners.http.port, chunked, /larger/)).toMatch(/^HTTP\/1.1 429 /);
  });

  test("takes no more after decompression, on HTTP", async () => {
    await using listeners = await startHealth();
    const zipped = new Uint8Array(gzipSync(tooLarge));
    const unary = await post(listeners, "application/proto", zipped, { "content-encoding": "gzip" });
    expect(unary.status).toBe(429);
    const web = await post(listeners, "application/grpc-web+proto", encodeEnvelope(1, zipped), {
      "grpc-encoding": "gzip",
    });
    expect(await web.text()).toContain("grpc-status: 8");
  });

  test("has few fields that nobody knows", async () => {
    await using listeners = await startHealth();
    expect(await grpc(listeners, encodeEnvelope(0, manyUnknown))).toMatchObject({ "grpc-status": "3" });
    expect(await (await post(listeners, "application/proto", manyUnknown)).json()).toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("more than 100 fields"),
    });
  });

  test("has ten seconds to arrive", async () => {
    await using listeners = await startHealth();
    const head = `POST ${checkPath} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n`;
    const half = `${head}content-length: 20\r\n\r\n{"service":`;
    const [onGrpc, onHttp] = await Promise.all([
      grpc(listeners, encodeEnvelope(0, unknownField(100)).subarray(0, 50)),
      sendHttp(listeners.http.port, half, /deadline_exceeded/),
    ]);
    expect(onGrpc).toMatchObject({ "grpc-status": "4" });
    expect(onHttp).toMatch(/^HTTP\/1.1 504 /);
  });
});

describe("a body that is not what it says", () => {
  test("is the caller's mistake where it is no gzip, on gRPC", async () => {
    await using listeners = await startHealth();
    const cut = gzipSync(unknownField(100)).subarray(0, 20);
    const answer = await grpc(listeners, encodeEnvelope(1, cut), { "grpc-encoding": "gzip" });
    expect(answer).toMatchObject({ "grpc-status": "3" });
  });

  test("is the caller's mistake where it is no gzip, on HTTP", async () => {
    await using listeners = await startHealth();
    const headers = { "content-encoding": "gzip" };
    for (const body of ["hello there", gzipSync("{}".repeat(50)).subarray(0, 20)]) {
      const response = await post(listeners, "application/json", body as Uint8Array<ArrayBuffer>, headers);
      expect([response.status, await response.json()]).toMatchObject([400, { code: "invalid_argument" }]);
    }
  });

  test.each(["application/connect+json", "application/grpc-web+proto"])(
    "is the caller's mistake where an envelope is cut: %s",
    async (type) => {
      await using listeners = await startHealth();
      const path = type.includes("connect") ? "/grpc.health.v1.Health/Watch" : checkPath;
      const response = await fetch(`http://127.0.0.1:${listeners.http.port}${path}`, {
        method: "POST",
        headers: { "content-type": type },
        body: new Uint8Array([0, 0, 0, 0, 9, 1]),
      });
      expect(await response.text()).toMatch(/"code":"invalid_argument"|grpc-status: 3/);
    },
  );

  test.each([
    ["a message that is no base64", "encoding=json&base64=1&message=!!!"],
    ["a letter", "encoding=json&base64=1&message=a"],
    ["percent signs", "encoding=proto&base64=1&message=%25%25%25"],
    ["a message that is cut off", "encoding=proto&base64=1&message=CgU"],
    ["base64 that is no JSON", "encoding=json&base64=1&message=AAA"],
    ["no JSON", "encoding=json&message={"],
    ["another encoding", "encoding=xml&message={}"],
    ["no encoding", "message={}"],
    ["no gzip", "encoding=json&base64=1&compression=gzip&message=AAAA"],
  ])("is the caller's mistake in a GET: %s", async (_, query) => {
    await using listeners = await startEcho();
    const response = await fetch(
      `http://127.0.0.1:${listeners.http.port}/test.v1.Echo/Look?connect=v1&${query}`,
    );
    expect([response.status, await response.json()]).toMatchObject([400, { code: "invalid_argument" }]);
  });
});

describe("the bytes of all requests", () => {
  test("are bounded on HTTP: a large one is told to come again, a small one passes", async () => {
    const { seen, bytesInHand } = counted(4 * mebibyte);
    await using listeners = await startEcho({ bytesInHand });
    const socket = openOnHttp(listeners, 2_000_000);
    await eventually(() => expect(seen.bytes).toBeGreaterThan(1_900_000));
    expect(await echo(listeners, "x".repeat(200_000))).toMatchObject({
      status: 503,
      text: expect.stringContaining("hands full"),
    });
    expect(await echo(listeners, "small")).toMatchObject({ status: 200 });
    socket.destroy();
    await eventually(() => expect(seen.bytes).toBe(0));
    expect(await echo(listeners, "x".repeat(200_000))).toMatchObject({ status: 200 });
  });

  test("are bounded on gRPC, and counted before a message is whole", async () => {
    const { seen, bytesInHand } = counted(4 * mebibyte);
    await using listeners = await startEcho({ bytesInHand });
    using client = openHttp2(listeners.grpc.port);
    openOnGrpc(client, 1.5 * mebibyte);
    await eventually(() => expect(seen.bytes).toBeGreaterThan(1.4 * mebibyte));
    using other = openHttp2(listeners.grpc.port);
    const [header] = await once(openOnGrpc(other, 1.5 * mebibyte), "response");
    expect(header).toMatchObject({ "grpc-status": "14" });
    client.close();
    other.close();
    await eventually(() => expect(seen.bytes).toBe(0));
  });

  test("are forgotten once they are answered, message by message where there are many", async () => {
    const { seen, bytesInHand } = counted(4 * mebibyte);
    await using listeners = await startEcho({ bytesInHand });
    using client = openHttp2(listeners.grpc.port);
    const stream = client.request("Up");
    for (let count = 0; count < 8; count += 1) stream.write(encodeEnvelope(0, unknownField(mebibyte)));
    stream.end();
    stream.resume();
    const [trailer] = await once(stream, "trailers");
    expect(trailer).toMatchObject({ "grpc-status": "0" });
    await eventually(() => expect(seen.bytes).toBe(0));
  });

  test("of one organization are no more than half of all", () => {
    const bytesInHand = createBytesInHand({ maxBytes: 4 * mebibyte });
    const [a, b] = [bytesInHand.hold(() => 1), bytesInHand.hold(() => 2)];
    a.set(1.5 * mebibyte);
    expect(() => bytesInHand.hold(() => 1).set(mebibyte)).toThrow("hands full");
    b.set(mebibyte);
    a.release();
    bytesInHand.hold(() => 1).set(mebibyte);
  });
});

describe("an answer over HTTP", () => {
  const json = { method: "POST", headers: { "content-type": "application/json" }, body: "{}" };

  test.each([
    ["a call's", "/test.v1.Echo/One", json],
    ["a refusal's", "/test.v1.Echo/One", { ...json, body: "{" }],
    ["a GET's", "/test.v1.Echo/Look?connect=v1&encoding=json&message={}", {}],
    ["a page's", "/page", {}],
    ["that of a page that is not there", "/nothing", {}],
    ["that of a method that is not the right one", "/test.v1.Echo/One", { method: "PUT" }],
  ])("may not be kept: %s", async (_, path, init) => {
    await using listeners = await startEcho({ pages: { "/page": () => ({ body: "hello" }) } });
    expect((await ask(listeners, path, init)).headers.get("cache-control")).toBe("no-store");
  });

  test.each(["application/connect+json", "application/grpc-web+json"])(
    "passes proxies message by message if it is a stream: %s",
    async (type) => {
      await using listeners = await startEcho();
      const body = encodeEnvelope(0, new TextEncoder().encode(`{"count":2}`));
      const { headers } = await ask(listeners, "/test.v1.Echo/Down", {
        method: "POST",
        headers: { "content-type": type },
        body,
      });
      expect(headers.get("cache-control")).toBe("no-store, no-transform");
      expect(headers.get("x-accel-buffering")).toBe("no");
    },
  );

  test("says with which methods a path is called", async () => {
    await using listeners = await startEcho();
    const one = await ask(listeners, "/test.v1.Echo/One");
    expect([one.status, one.headers.get("allow"), await one.text()]).toEqual([
      405,
      "POST",
      "One is called with POST.\n",
    ]);
    const look = await ask(listeners, "/test.v1.Echo/Look", { method: "DELETE" });
    expect([look.status, look.headers.get("allow")?.split(", ").toSorted()]).toEqual([405, ["GET", "POST"]]);
  });

  test.each([
    ["text/plain", "One", "application/json"],
    ["application/connect+json", "One", "application/json"],
    ["application/json", "Down", "application/connect+json"],
    ["application/grpc-web-text+json", "One", "application/grpc-web-text+proto"],
    ["application/grpc", "Down", "application/connect+proto"],
  ])("says what would do instead of %s for %s", async (type, method, right) => {
    await using listeners = await startEcho();
    const response = await ask(listeners, `/test.v1.Echo/${method}`, {
      method: "POST",
      headers: { "content-type": type },
      body: "{}",
    });
    expect(response.status).toBe(415);
    expect(response.headers.get("accept-post")).toContain(right);
    expect(await response.text()).toContain(right);
  });

  test("says that a stream in both directions needs the other port", async () => {
    await using listeners = await startEcho();
    const headers = { "content-type": "application/connect+json" };
    const response = await ask(listeners, "/test.v1.Echo/Both", { method: "POST", headers });
    expect([response.status, await response.text()]).toMatchObject([
      505,
      expect.stringContaining("gRPC port"),
    ]);
  });

  test("is followed by a connection that stays open longer than a balancer's", async () => {
    await using listeners = await startEcho();
    const { headers } = await ask(listeners, "/nothing");
    expect(headers.get("keep-alive")).toBe("timeout=65");
  });
});

test("the gRPC port says what it speaks to a client that speaks something else", async () => {
  await using listeners = await startHealth();
  using client = openHttp2(listeners.grpc.port);
  const stream = client.request("One", { "content-type": "application/json" }).end("{}");
  const [header] = await once(stream, "response");
  const [text] = await once(stream, "data");
  expect(header).toMatchObject({ ":status": 415, "accept-post": "application/grpc" });
  expect(String(text)).toContain("HTTP port");
});
