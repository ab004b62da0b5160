import { once } from "node:events";
import { constants } from "node:http2";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Code, ConnectError, type Client, type HandlerContext } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { all, refusalOf } from "./calls.ts";
import { echoClient, everyClient } from "./clients.ts";
import { startEcho, type Echo, type Listeners, type Note } from "./echo.ts";
import { openHttp2 } from "./raw.ts";

/** Handlers that wait for the abort of their call, and what they were told by it. */
function waiting() {
  const told: unknown[] = [];
  const entered = Promise.withResolvers<HandlerContext>();
  const wait = async (context: HandlerContext) => {
    entered.resolve(context);
    if (!context.signal.aborted) await once(context.signal, "abort");
    told.push(context.signal.reason);
    throw context.signal.reason;
  };
  return {
    told,
    entered: entered.promise,
    one: (_: unknown, context: HandlerContext) => wait(context),
    async *down(_: unknown, context: HandlerContext) {
      yield { text: "first" };
      await wait(context);
    },
  };
}

/** A handler that reads, when it has begun to and what ended it. */
function reading() {
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<unknown>();
  return {
    begun: begun.promise,
    ended: ended.promise,
    async up(notes: AsyncIterable<Note>) {
      try {
        for await (const _ of notes) begun.resolve();
      } catch (thrown) {
        ended.resolve(thrown);
        throw thrown;
      }
      return {};
    },
  };
}

/** 25, 30, 45 and 60 days, and the furthest that there is. */
const farTimeouts = ["36000M", "2592000S", "1080H", "5184000S", "99999999H"];

/** Answers after the event loop has had time to run timers that are over. */
const later = async () => {
  await delay(5);
  return { text: "later" };
};

const firstNote = encodeEnvelope(0, new Uint8Array());

async function postWithTimeout({ http }: Listeners, timeout: string): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${http.port}/test.v1.Echo/One`, {
    method: "POST",
    headers: { "content-type": "application/json", "connect-timeout-ms": timeout },
    body: "{}",
  });
  return response.json();
}

/** Has its connection, so that a short deadline is not over before the call arrives. */
async function warm(client: Client<typeof Echo>) {
  await client.look({});
  return client;
}

const codesOf = (told: unknown[]) => told.map((reason) => Code[ConnectError.from(reason).code]);

describe.each(everyClient)("%s", (name) => {
  test("gets deadline_exceeded at its deadline, and the handler is stopped", async () => {
    const { told, one } = waiting();
    await using listeners = await startEcho({ one });
    const client = await warm(echoClient(name, listeners));
    expect(await refusalOf(client.one({}, { timeoutMs: 250 }))).toMatchObject({ code: "DeadlineExceeded" });
    await eventually(() => expect(told).toHaveLength(1));
  });

  test("gets deadline_exceeded in the middle of a stream, and the handler is stopped", async () => {
    const { told, down } = waiting();
    await using listeners = await startEcho({ down });
    const client = await warm(echoClient(name, listeners));
    expect(await refusalOf(all(client.down({}, { timeoutMs: 250 })))).toMatchObject({
      code: "DeadlineExceeded",
    });
    await eventually(() => expect(told).toHaveLength(1));
  });

  test("tells the handler how much time is left", async () => {
    const left: (number | undefined)[] = [];
    await using listeners = await startEcho({
      one: (_, context) => {
        left.push(context.timeoutMs());
        return {};
      },
    });
    await echoClient(name, listeners).one({}, { timeoutMs: 60_000 });
    await echoClient(name, listeners).one({});
    expect(left).toEqual([expect.closeTo(60_000, -4), undefined]);
  });

  test("stops the handler when it cancels", async () => {
    const { told, entered, one } = waiting();
    await using listeners = await startEcho({ one });
    const cancel = new AbortController();
    const call = refusalOf(echoClient(name, listeners).one({}, { signal: cancel.signal }));
    await entered;
    cancel.abort();
    expect(await call).toMatchObject({ code: "Canceled" });
    await eventually(() => expect(told).toHaveLength(1));
  });

  test("stops the handler of a stream when it cancels", async () => {
    const { told, entered, down } = waiting();
    await using listeners = await startEcho({ down });
    const cancel = new AbortController();
    const call = refusalOf(all(echoClient(name, listeners).down({}, { signal: cancel.signal })));
    await entered;
    cancel.abort();
    expect(await call).toMatchObject({ code: "Canceled" });
    await eventually(() => expect(told).toHaveLength(1));
  });

  test("that throws because of its abort does not look like a bug", async () => {
    await using listeners = await startEcho({
      one: async (_, { signal }) => delay(60_000, {}, { signal }),
    });
    expect(await refusalOf(echoClient(name, listeners).one({}, { timeoutMs: 50 }))).toMatchObject({
      code: "DeadlineExceeded",
    });
  });
});

describe("a client without a clock", () => {
  test("gets deadline_exceeded from Connect, and so does the handler", async () => {
    const { told, one } = waiting();
    await using listeners = await startEcho({ one });
    expect(await postWithTimeout(listeners, "50")).toMatchObject({ code: "deadline_exceeded" });
    expect(codesOf(told)).toEqual(["DeadlineExceeded"]);
  });

  test("gets deadline_exceeded from gRPC, and so does the handler", async () => {
    const { told, one } = waiting();
    await using listeners = await startEcho({ one });
    using client = openHttp2(listeners.grpc.port);
    const stream = client.request("One", { "grpc-timeout": "50m" }).end(firstNote);
    const [header] = await once(stream, "response");
    expect(header).toMatchObject({ "grpc-status": "4" });
    await eventually(() => expect(codesOf(told)).toEqual(["DeadlineExceeded"]));
  });

  test("gets deadline_exceeded where the handler threw because of it", async () => {
    await using listeners = await startEcho({ one: async (_, { signal }) => delay(60_000, {}, { signal }) });
    expect(await postWithTimeout(listeners, "50")).toMatchObject({ code: "deadline_exceeded" });
  });

  test("gets deadline_exceeded where the handler of a stream threw because of it", async () => {
    await using listeners = await startEcho({
      async *down(_, { signal }) {
        yield await delay(60_000, {}, { signal });
      },
    });
    const response = await fetch(`http://127.0.0.1:${listeners.http.port}/test.v1.Echo/Down`, {
      method: "POST",
      headers: { "content-type": "application/connect+json", "connect-timeout-ms": "50" },
      body: encodeEnvelope(0, new TextEncoder().encode("{}")),
    });
    expect(await response.text()).toContain(`"code":"deadline_exceeded"`);
  });

  test.each(["2147483647", "2147483648", "4294967297", "9999999999"])(
    "is answered by Connect although no timer can take its timeout: %s",
    async (timeout) => {
      await using listeners = await startEcho({ one: later });
      expect(await postWithTimeout(listeners, timeout)).toMatchObject({ text: "later" });
    },
  );

  test.each(farTimeouts)(
    "is answered by gRPC although no timer can take its timeout: %s",
    async (timeout) => {
      await using listeners = await startEcho({ one: later });
      using client = openHttp2(listeners.grpc.port);
      const stream = client.request("One", { "grpc-timeout": timeout }).end(firstNote);
      const [trailer] = await once(stream, "trailers");
      expect(trailer).toMatchObject({ "grpc-status": "0" });
    },
  );

  test.each(farTimeouts)(
    "has its stream go on although no timer can take its timeout: %s",
    async (timeout) => {
      await using listeners = await startEcho();
      using client = openHttp2(listeners.grpc.port);
      const stream = client.request("Both", { "grpc-timeout": timeout });
      stream.write(firstNote);
      await once(stream, "data");
      await delay(20);
      stream.end(firstNote);
      stream.resume();
      const [trailer] = await once(stream, "trailers");
      expect(trailer).toMatchObject({ "grpc-status": "0" });
    },
  );

  test.each(farTimeouts)(
    "is answered by gRPC-Web although no timer can take its timeout: %s",
    async (timeout) => {
      await using listeners = await startEcho({ one: later });
      const response = await fetch(`http://127.0.0.1:${listeners.http.port}/test.v1.Echo/One`, {
        method: "POST",
        headers: { "content-type": "application/grpc-web+proto", "grpc-timeout": timeout },
        body: firstNote,
      });
      expect(await response.text()).toContain("grpc-status: 0");
    },
  );

  test.each(["soon", "5", "123456789S", "-1S", "1.5S"])(
    "is told by gRPC what a timeout looks like: %s",
    async (timeout) => {
      await using listeners = await startEcho();
      using client = openHttp2(listeners.grpc.port);
      const [header] = await once(
        client.request("One", { "grpc-timeout": timeout }).end(firstNote),
        "response",
      );
      expect(header).toMatchObject({ "grpc-status": "3" });
    },
  );
});

/** A stream without end of large messages, and how far it got. */
function flood() {
  const seen = { sent: 0, ended: 0 };
  return {
    seen,
    async *down() {
      try {
        for (;;) {
          seen.sent += 1;
          yield { data: new Uint8Array(64 * 1024) };
        }
      } finally {
        seen.ended += 1;
      }
    },
  };
}

/** Waits until the number stays as it is; a stream that does not heed its reader is far beyond by then. */
async function settled(read: () => number): Promise<number> {
  return eventually(async () => {
    const before = read();
    await delay(200);
    expect(before).toBeGreaterThan(0);
    expect(read()).toBe(before);
    return before;
  });
}

describe("a client that does not read", () => {
  test("holds the stream on gRPC, and ends it by going away", async () => {
    const { seen, down } = flood();
    await using listeners = await startEcho({ down });
    using client = openHttp2(listeners.grpc.port);
    client.request("Down").end(firstNote);
    expect(await settled(() => seen.sent)).toBeLessThan(10);
    expect(seen.ended).toBe(0);
    client.close();
    await eventually(() => expect(seen.ended).toBe(1));
  });

  test("is not waited for beyond its deadline on gRPC", async () => {
    const { seen, down } = flood();
    await using listeners = await startEcho({ down });
    using client = openHttp2(listeners.grpc.port);
    client.request("Down", { "grpc-timeout": "300m" }).end(firstNote);
    await eventually(() => expect(seen.ended).toBe(1));
  });

  test("holds the stream on HTTP, and ends it by going away", async () => {
    const { seen, down } = flood();
    await using listeners = await startEcho({ down });
    const socket = connect(listeners.http.port, "127.0.0.1");
    socket.pause();
    const head = [
      "POST /test.v1.Echo/Down HTTP/1.1",
      "host: localhost",
      "content-type: application/connect+proto",
      `content-length: ${firstNote.length}`,
    ];
    socket.write(`${head.join("\r\n")}\r\n\r\n`);
    socket.write(firstNote);
    // The kernel takes some megabytes on its own.
    expect(await settled(() => seen.sent)).toBeLessThan(1_000);
    expect(seen.ended).toBe(0);
    socket.resetAndDestroy();
    await eventually(() => expect(seen.ended).toBe(1));
  });

  test("does not make the reading of its own messages run ahead of the handler", async () => {
    const seen: number[] = [];
    const go = Promise.withResolvers<void>();
    await using listeners = await startEcho({
      async up(notes) {
        for await (const { count } of notes) {
          seen.push(count);
          await go.promise;
        }
        return { count: seen.length };
      },
    });
    using client = openHttp2(listeners.grpc.port);
    const stream = client.request("Up");
    const message = encodeEnvelope(0, new Uint8Array([0x1a, 0x80, 0x80, 0x04, ...new Uint8Array(64 * 1024)]));
    for (let sent = 0; sent < 100; sent += 1) stream.write(message);
    const left = await settled(() => stream.writableLength);
    expect(left).toBeGreaterThan(90 * message.length);
    go.resolve();
    stream.end();
    stream.resume();
    await once(stream, "end");
    expect(seen).toHaveLength(100);
  });
});

describe("a connection that breaks", () => {
  const head =
    "POST /test.v1.Echo/Down HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/connect+proto\r\n";
  const length = `content-length: ${firstNote.length}\r\n\r\n`;
  const requests = { nothing: "", "half a line": "POST /te", "half a head": head, "no body": head + length };

  test.each(Object.entries(requests))("after %s of an HTTP request harms nobody else", async (_, request) => {
    await using listeners = await startEcho();
    const socket = connect(listeners.http.port, "127.0.0.1");
    await once(socket, "connect");
    await new Promise((resolve) => socket.write(request, resolve));
    socket.resetAndDestroy();
    const client = echoClient("Connect JSON", listeners);
    expect(await client.one({ text: "still here" })).toMatchObject({ text: "still here" });
  });

  test.each(["Connect JSON", "gRPC-Web"])("in the middle of a stream stops its handler: %s", async (name) => {
    const { told, down } = waiting();
    await using listeners = await startEcho({ down });
    const contentType = {
      "Connect JSON": "application/connect+proto",
      "gRPC-Web": "application/grpc-web+proto",
    }[name];
    const socket = connect(listeners.http.port, "127.0.0.1");
    socket.write(
      `POST /test.v1.Echo/Down HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${contentType}\r\n${length}`,
    );
    socket.write(firstNote);
    await once(socket, "data");
    socket.resetAndDestroy();
    await eventually(() => expect(told).toHaveLength(1));
  });

  test("before the first byte of HTTP/2 harms nobody else", async () => {
    await using listeners = await startEcho();
    const socket = connect(listeners.grpc.port, "127.0.0.1");
    await once(socket, "connect");
    socket.resetAndDestroy();
    const client = echoClient("grpc-js", listeners);
    expect(await client.one({ text: "still here" })).toMatchObject({ text: "still here" });
  });

  test.each(["One", "Down", "Up", "Both"])(
    "while a gRPC request is half sent harms nobody else: %s",
    async (method) => {
      await using listeners = await startEcho();
      const client = openHttp2(listeners.grpc.port);
      const stream = client.request(method);
      await new Promise((resolve) => stream.write(new Uint8Array([0, 0, 0, 0, 9, 1]), resolve));
      stream.close(constants.NGHTTP2_CANCEL);
      await once(stream, "close");
      client.close();
      const other = echoClient("grpc-js", listeners);
      expect(await other.one({ text: "still here" })).toMatchObject({ text: "still here" });
    },
  );

  test.each(["one", "down"] as const)("while a gRPC method is running stops it: %s", async (method) => {
    const { told, entered, one, down } = waiting();
    await using listeners = await startEcho({ one, down });
    using client = openHttp2(listeners.grpc.port);
    client.request({ one: "One", down: "Down" }[method]).end(firstNote);
    await entered;
    client.close();
    await eventually(() => expect(codesOf(told)).toEqual(["Canceled"]));
  });

  test("ends the reading of a gRPC handler", async () => {
    const { ended, begun, up } = reading();
    await using listeners = await startEcho({ up });
    const client = openHttp2(listeners.grpc.port);
    client.request("Up").write(firstNote);
    await begun;
    client.close();
    expect(codesOf([await ended])).toEqual(["Canceled"]);
  });

  test("ends the reading of an HTTP handler", async () => {
    const { ended, begun, up } = reading();
    await using listeners = await startEcho({ up });
    const socket = connect(listeners.http.port, "127.0.0.1");
    socket.write(`${head.replace("Down", "Up")}content-length: 100\r\n\r\n`);
    socket.write(firstNote);
    await begun;
    socket.resetAndDestroy();
    expect(await ended).toBeInstanceOf(Error);
  });
});
