import { once } from "node:events";
import { queryObjects } from "node:v8";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, createContextKey } from "@connectrpc/connect";
import { compressionGzip, createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { compressionAlgorithms } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { flags, frame, grpcHeaders, openRawHttp2, types } from "../../bench/raw-http2.ts";
import { maxMessageBytes } from "../../src/rpc/listener.ts";
import { all, notes, refusalOf } from "./calls.ts";
import { echoClient, everyClient } from "./clients.ts";
import { Echo, NoteSchema, startEcho, type Listeners } from "./echo.ts";
import { createGrpcJsTransport } from "./grpc-js-transport.ts";
import { callGrpc, openHttp2, sendHttp } from "./raw.ts";

const callerKey = createContextKey("nobody");

const post = (
  { http }: Listeners,
  method: string,
  contentType: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers = {},
) =>
  fetch(`http://127.0.0.1:${http.port}/test.v1.Echo/${method}`, {
    method: "POST",
    headers: { "content-type": contentType, ...headers },
    body,
  });

const closed = () => {
  throw new ConnectError("show your key", Code.Unauthenticated);
};

const notANote = new Uint8Array([0x0a, 0xff, 0xff]);
const sentence = "the request is not a valid test.v1.Note";

describe("JSON", () => {
  test("carries zero values", async () => {
    await using listeners = await startEcho();
    const response = await post(listeners, "One", "application/json", "{}");
    expect(await response.json()).toEqual({ text: "", count: 0, data: "" });
  });

  test("with a field that does not exist is refused, and the field is named", async () => {
    await using listeners = await startEcho();
    const response = await post(listeners, "One", "application/json", `{"txet":"hello"}`);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      code: "invalid_argument",
      message: "The request's field txet is unknown; known are text, count, data.",
    });
  });

  test.each([
    ["{", 'The request is not valid JSON: " is missing at byte 1.'],
    ["[]", "The request must be an object."],
    ["null and void", "The request must be an object."],
    [`{"count":"many"}`, "The request's field count must be a whole number in its range."],
  ])("that is no message is refused: %s", async (body, message) => {
    await using listeners = await startEcho();
    const response = await post(listeners, "One", "application/json", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ code: "invalid_argument", message });
  });

  test.each(["Application/JSON", "application/JSON; charset=UTF-8"])(
    "is checked as JSON however its type is written: %s",
    async (type) => {
      await using listeners = await startEcho();
      const response = await post(listeners, "One", type, `{"text":[]}`);
      expect(await response.json()).toMatchObject({ message: "The request's field text must be a text." });
    },
  );

  test("answers a GET of a method without side effects", async () => {
    await using listeners = await startEcho();
    const query = new URLSearchParams({ connect: "v1", encoding: "json", message: `{"text":"hello"}` });
    const response = await fetch(`http://127.0.0.1:${listeners.http.port}/test.v1.Echo/Look?${query}`);
    expect(await response.json()).toMatchObject({ text: "hello" });
  });

  test("does not answer a GET of a method with side effects", async () => {
    await using listeners = await startEcho();
    const response = await fetch(
      `http://127.0.0.1:${listeners.http.port}/test.v1.Echo/One?encoding=json&message={}`,
    );
    expect(response.status).toBe(405);
  });
});

describe("bytes that are no message", () => {
  test.each(["One", "Down", "Up", "Both"])("are the caller's mistake on gRPC: %s", async (method) => {
    await using listeners = await startEcho();
    const status = await callGrpc(listeners.grpc.port, method, encodeEnvelope(0, notANote));
    expect(status).toMatchObject({ "grpc-status": "3", "grpc-message": encodeURI(sentence) });
  });

  test("are the caller's mistake on Connect", async () => {
    await using listeners = await startEcho();
    const response = await post(listeners, "One", "application/proto", notANote);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ code: "invalid_argument", message: sentence });
  });

  test.each(["Down", "Up"])("are the caller's mistake in a Connect stream: %s", async (method) => {
    await using listeners = await startEcho();
    const response = await post(listeners, method, "application/connect+proto", encodeEnvelope(0, notANote));
    expect(await response.text()).toContain(`{"code":"invalid_argument","message":"${sentence}"}`);
  });

  test.each(["One", "Down"])("are the caller's mistake on gRPC-Web: %s", async (method) => {
    await using listeners = await startEcho();
    const response = await post(listeners, method, "application/grpc-web+proto", encodeEnvelope(0, notANote));
    const text = await response.text();
    expect(text).toContain("grpc-status: 3");
    expect(text).toContain(`grpc-message: ${encodeURIComponent(sentence)}`);
  });
});

/** Makes so many calls at once, each ended without a message, and resolves when all are answered. */
async function callWithoutMessages({ grpc }: Listeners, method: string, count: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let answered = 0;
  const { socket } = openRawHttp2(
    { port: grpc.port, localAddress: "127.0.0.1" },
    {
      open({ socket: opened, nextStreamId }) {
        const calls = Array.from({ length: count }, () => {
          const id = nextStreamId();
          const head = frame(types.headers, flags.endHeaders, id, grpcHeaders(`/test.v1.Echo/${method}`));
          return [head, frame(types.data, flags.endStream, id)];
        });
        opened.write(Buffer.concat(calls.flat()));
      },
      end: () => (answered += 1) === count && resolve(),
    },
  );
  await promise;
  socket.destroy();
}

test.each(["One", "Up", "Both", "Nothing"])(
  "a call that ended without a message before its turn came is answered: %s",
  async (method) => {
    await using listeners = await startEcho();
    await expect(callWithoutMessages(listeners, method, 100)).resolves.toBeUndefined();
  },
);

describe("a method", () => {
  test("that does not exist is unimplemented on gRPC", async () => {
    await using listeners = await startEcho();
    const status = await callGrpc(listeners.grpc.port, "Nothing", new Uint8Array());
    expect(status["grpc-status"]).toBe("12");
  });

  test("that does not exist is a 404 with a sentence on HTTP", async () => {
    await using listeners = await startEcho();
    const response = await post(listeners, "Nothing", "application/json", "{}");
    expect(response.status).toBe(404);
    expect(await response.text()).toBe("There is nothing at this path.\n");
  });

  test("is not served as gRPC on the HTTP listener", async () => {
    await using listeners = await startEcho();
    const response = await post(listeners, "One", "application/grpc", encodeEnvelope(0, new Uint8Array()));
    expect(response.status).toBe(415);
  });

  test.each(["One", "Down"])("that takes one message refuses two and none: %s", async (method) => {
    await using listeners = await startEcho();
    const note = encodeEnvelope(0, toBinary(NoteSchema, create(NoteSchema, { text: "hello" })));
    const two = await callGrpc(listeners.grpc.port, method, Buffer.concat([note, note]));
    const none = await callGrpc(listeners.grpc.port, method, new Uint8Array());
    expect([two["grpc-status"], none["grpc-status"]]).toEqual(["12", "12"]);
  });
});

describe("a compressed request", () => {
  const text = "again and ".repeat(1000);

  test("is understood from grpc-js", async () => {
    await using listeners = await startEcho();
    const options = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
    const client = createClient(Echo, createGrpcJsTransport(listeners.grpc.port, options));
    expect(await client.one({ text })).toMatchObject({ text });
  });

  const compress = {
    sendCompression: compressionGzip,
    acceptCompression: [compressionGzip],
    compressMinBytes: 0,
  };

  test("is understood from connect-node on gRPC, streams included", async () => {
    await using listeners = await startEcho();
    const baseUrl = `http://127.0.0.1:${listeners.grpc.port}`;
    const client = createClient(Echo, createGrpcTransport({ baseUrl, ...compress }));
    expect(await client.one({ text })).toMatchObject({ text });
    expect(await client.up(notes(text, text))).toMatchObject({ text: `${text} ${text}` });
  });

  test("is understood from Connect and answered compressed", async () => {
    await using listeners = await startEcho();
    const baseUrl = `http://127.0.0.1:${listeners.http.port}`;
    const client = createClient(Echo, createConnectTransport({ baseUrl, httpVersion: "1.1", ...compress }));
    const encodings: (string | null)[] = [];
    const onHeader = (header: Headers) => encodings.push(header.get("content-encoding"));
    expect(await client.one({ text }, { onHeader })).toMatchObject({ text });
    expect(encodings).toEqual(["gzip"]);
  });

  test("that grows beyond the limit is refused", async () => {
    await using listeners = await startEcho();
    const data = new Uint8Array(maxMessageBytes + 1);
    const options = { "grpc.default_compression_algorithm": compressionAlgorithms.gzip };
    const grpc = createClient(Echo, createGrpcJsTransport(listeners.grpc.port, options));
    const baseUrl = `http://127.0.0.1:${listeners.http.port}`;
    const connect = createClient(
      Echo,
      createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: true, ...compress }),
    );
    const codes = [await refusalOf(grpc.one({ data })), await refusalOf(connect.one({ data }))].map(
      ({ code }) => code,
    );
    expect(codes).toEqual(["ResourceExhausted", "ResourceExhausted"]);
  });
});

async function* tooLarge() {
  yield { text: "small" };
  yield { data: new Uint8Array(maxMessageBytes + 1) };
}

describe.each(everyClient)("%s", (name) => {
  test("may send and get a message near the limit", async () => {
    await using listeners = await startEcho();
    // As JSON, bytes take a third more.
    const data = new Uint8Array(maxMessageBytes * 0.74).fill(7);
    const answer = await echoClient(name, listeners).one({ data });
    expect(answer.data.length).toBe(data.length);
  });

  test("is told that its message is too large", async () => {
    await using listeners = await startEcho();
    const data = new Uint8Array(maxMessageBytes + 1);
    expect(await refusalOf(echoClient(name, listeners).one({ data }))).toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringMatching(/larger than .*16777216/),
    });
  });

  test("is told that a message of its stream is too large", async () => {
    await using listeners = await startEcho();
    expect(await refusalOf(echoClient(name, listeners).up(tooLarge()))).toMatchObject({
      code: "ResourceExhausted",
      message: expect.stringMatching(/larger than .*16777216/),
    });
  });

  test("is told that the answer would be too large", async () => {
    await using listeners = await startEcho({
      one: () => ({ data: new Uint8Array(maxMessageBytes + 1) }),
      down: tooLarge,
    });
    const client = echoClient(name, listeners);
    const refusals = [await refusalOf(client.one({})), await refusalOf(all(client.down({})))];
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({
        code: "ResourceExhausted",
        message: expect.stringMatching(/larger .*16777216/),
      });
    }
  });

  test("is refused by the gate although its message is too large", async () => {
    await using listeners = await startEcho({ gate: closed });
    const refusal = await refusalOf(
      echoClient(name, listeners).one({ data: new Uint8Array(17 * 1024 * 1024) }),
    );
    expect(refusal).toMatchObject({ code: "Unauthenticated", message: "show your key" });
  });

  test("has its stream refused by the gate", async () => {
    await using listeners = await startEcho({ gate: closed });
    expect(await refusalOf(all(echoClient(name, listeners).down({ count: 1 })))).toMatchObject({
      code: "Unauthenticated",
      message: "show your key",
    });
  });

  test("passes a gate, whose values are there for the handler", async () => {
    await using listeners = await startEcho({
      gate: async (context) =>
        void context.values.set(callerKey, context.requestHeader.get("x-key") ?? "nobody"),
      one: (_, context) => ({ text: context.values.get(callerKey) }),
    });
    const answer = await echoClient(name, listeners).one({}, { headers: { "x-key": "somebody" } });
    expect(answer.text).toBe("somebody");
  });

  test("learns nothing of a bug in the gate", async () => {
    await using listeners = await startEcho({
      gate: () => {
        throw new Error("the password is hunter2");
      },
    });
    expect(await refusalOf(echoClient(name, listeners).one({}))).toMatchObject({
      code: "Internal",
      message: "internal error",
    });
  });
});

describe("a refusal", () => {
  const note = toBinary(NoteSchema, create(NoteSchema, { text: "refuse" }));

  test("comes with the headers that were set before it, on gRPC", async () => {
    await using listeners = await startEcho();
    const answer = await callGrpc(listeners.grpc.port, "One", encodeEnvelope(0, note));
    expect(answer).toMatchObject({ "x-word": "none", "x-last-word": "goodbye", "grpc-status": "9" });
  });

  test("comes with the headers that were set before it, on Connect", async () => {
    await using listeners = await startEcho();
    const { status, headers } = await post(listeners, "One", "application/json", `{"text":"refuse"}`);
    expect([status, headers.get("x-word"), headers.get("trailer-x-last-word")]).toEqual([
      400,
      "none",
      "goodbye",
    ]);
  });

  test("with metadata that gRPC cannot carry is an internal error there, and no crash", async () => {
    await using listeners = await startEcho({
      one: () => {
        throw new ConnectError("refused", Code.Aborted, { "x-reason": "«»" });
      },
    });
    const answer = await callGrpc(listeners.grpc.port, "One", encodeEnvelope(0, new Uint8Array()));
    expect(answer).toMatchObject({ "grpc-status": "13", "grpc-message": "internal%20error" });
  });
});

describe("the gate", () => {
  test("answers on gRPC while the body is not there yet", async () => {
    await using listeners = await startEcho({ gate: closed });
    const status = await callGrpc(listeners.grpc.port, "One", undefined);
    expect(status).toMatchObject({ "grpc-status": "16", "grpc-message": encodeURI("show your key") });
  });

  test("answers on HTTP while the body is not there yet", async () => {
    await using listeners = await startEcho({ gate: closed });
    const head = [
      "POST /test.v1.Echo/One HTTP/1.1",
      "host: localhost",
      "content-type: application/json",
      `content-length: ${17 * 1024 * 1024}`,
    ];
    const answer = await sendHttp(listeners.http.port, `${head.join("\r\n")}\r\n\r\n`, /show your key/);
    expect(answer).toMatch(/^HTTP\/1.1 401 /);
  });
});

describe("HTTP", () => {
  test("says that a body without a length is too large, and the connection goes on", async () => {
    await using listeners = await startEcho();
    const head = "POST /test.v1.Echo/One HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    const chunk = `100000\r\n${" ".repeat(0x100000)}\r\n`;
    const large = `${head}transfer-encoding: chunked\r\n\r\n${chunk.repeat(20)}0\r\n\r\n`;
    const small = `${head}content-length: 18\r\n\r\n{"text":"go on"}  `;
    const answers = await sendHttp(listeners.http.port, large + small, /go on/);
    expect(answers).toMatch(/^HTTP\/1.1 429 [^]*"resource_exhausted"[^]*HTTP\/1.1 200 [^]*go on/);
  });

  test.each(["host: [", "host: a b", "host:"])("refuses what is no host and goes on: %s", async (host) => {
    await using listeners = await startEcho();
    const head = `POST /test.v1.Echo/One HTTP/1.1\r\n${host}\r\ncontent-length: 0\r\n\r\n`;
    expect(await sendHttp(listeners.http.port, head, /valid/)).toMatch(/^HTTP\/1.1 400 /);
    expect(await echoClient("Connect JSON", listeners).one({ text: "still here" })).toMatchObject({
      text: "still here",
    });
  });

  test("refuses a request without a host and goes on", async () => {
    await using listeners = await startEcho();
    const head = "POST /test.v1.Echo/One HTTP/1.0\r\ncontent-length: 0\r\n\r\n";
    expect(await sendHttp(listeners.http.port, head, /valid/)).toMatch(/^HTTP\/1.1 400 /);
    expect(await echoClient("Connect JSON", listeners).one({ text: "still here" })).toMatchObject({
      text: "still here",
    });
  });
});

test("of a gRPC call that is refused before its request is read, nothing is left once it has ended", async () => {
  await using listeners = await startEcho({
    gate: () => {
      throw new ConnectError("nobody may", Code.PermissionDenied);
    },
  });
  using client = openHttp2(listeners.grpc.port);
  const timer = setTimeout(() => {});
  clearTimeout(timer);
  const timers = () => queryObjects(timer.constructor, { format: "count" });
  const before = timers();
  const ends = Array.from({ length: 100 }, () => {
    const stream = client.request("One");
    stream.end(encodeEnvelope(0, new Uint8Array())).resume();
    return once(stream, "close");
  });
  await Promise.all(ends);
  // It comes back after all that the server has heard of the calls.
  await new Promise((resolve) => client.session.ping(resolve));
  expect(timers()).toBeLessThan(before + 50);
});
