import { once } from "node:events";
import { connect } from "node:net";
import type { HandlerContext, Interceptor } from "@connectrpc/connect";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { describe, expect, test } from "vitest";
import { deliveryOf } from "../../src/rpc/calls/delivery.ts";
import { eventually } from "../support/eventually.ts";
import { refusalOf } from "./calls.ts";
import { echoClient, everyClient } from "./clients.ts";
import { type Listeners, type Note, startEcho } from "./echo.ts";
import { openHttp2 } from "./raw.ts";

/** A handler that says when it is at work, gives its answer when it may, and notes the answers that did not arrive. */
function answering({ bytes = 0 } = {}) {
  const undone: string[] = [];
  const entered = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const may = Promise.withResolvers<void>();
  return {
    undone,
    entered: entered.promise,
    /** When the handler is told that its caller has gone. */
    gone: gone.promise,
    go: may.resolve,
    async one({ text }: Note, context: HandlerContext) {
      context.signal.addEventListener("abort", () => gone.resolve());
      entered.resolve();
      await may.promise;
      deliveryOf(context.values).onFailure(() => void undone.push(text));
      return { text, data: new Uint8Array(bytes) };
    },
  };
}

/** Answers before the handler does. */
const hasty: Interceptor = (next) => (request) => {
  next(request).catch(() => {});
  throw new Error("it takes too long");
};

/** What runs after whatever a listener still does for a call that is over. */
const shutDown = (listeners: Listeners) => listeners[Symbol.asyncDispose]();

describe.each(everyClient)("an answer to %s", (name) => {
  test("that is written is not undone", async () => {
    const { undone, go, one } = answering({ bytes: 300_000 });
    go();
    const listeners = await startEcho({ one });
    const client = echoClient(name, listeners);
    for (let turn = 0; turn < 20; turn += 1) {
      await Promise.all(Array.from({ length: 10 }, () => client.one({ text: "call" })));
    }
    await shutDown(listeners);
    expect(undone).toEqual([]);
  });

  test("that is given after its caller has gone is undone once", async () => {
    const { undone, entered, gone, go, one } = answering();
    const listeners = await startEcho({ one });
    const away = new AbortController();
    const call = refusalOf(echoClient(name, listeners).one({ text: "call" }, { signal: away.signal }));
    await entered;
    away.abort();
    await Promise.all([call, gone]);
    go();
    await eventually(() => expect(undone).toEqual(["call"]));
    await shutDown(listeners);
    expect(undone).toEqual(["call"]);
  });

  test("that is given after its deadline is undone once", async () => {
    const { undone, gone, go, one } = answering();
    const listeners = await startEcho({ one });
    const client = echoClient(name, listeners);
    await client.look({});
    await Promise.all([refusalOf(client.one({ text: "call" }, { timeoutMs: 250 })), gone]);
    go();
    await eventually(() => expect(undone).toEqual(["call"]));
    await shutDown(listeners);
    expect(undone).toEqual(["call"]);
  });

  test("that comes after another answer was given for it is undone", async () => {
    const { undone, go, one } = answering();
    const listeners = await startEcho({ one, interceptors: [hasty] });
    expect(await refusalOf(echoClient(name, listeners).one({ text: "call" }))).toMatchObject({
      code: "Internal",
    });
    go();
    await eventually(() => expect(undone).toEqual(["call"]));
    await shutDown(listeners);
  });
});

test.each(["grpc-js", "connect-node gRPC", "Connect JSON", "Connect binary"])(
  "an answer to %s that is too large is undone",
  async (name) => {
    const { undone, go, one } = answering({ bytes: 17 * 1024 * 1024 });
    go();
    await using listeners = await startEcho({ one });
    await refusalOf(echoClient(name, listeners).one({ text: "call" }));
    await eventually(() => expect(undone).toEqual(["call"]));
  },
);

describe("an answer that its client does not read", () => {
  const large = { bytes: 15 * 1024 * 1024 };

  test("is undone when the client goes, on gRPC", async () => {
    const { undone, entered, go, one } = answering(large);
    await using listeners = await startEcho({ one });
    const client = openHttp2(listeners.grpc.port);
    const stream = client.request("One").end(encodeEnvelope(0, new Uint8Array([0x0a, 1, 0x61])));
    await entered;
    go();
    await once(stream, "response");
    client.close();
    await eventually(() => expect(undone).toEqual(["a"]));
  });

  test("is undone when the client goes, on HTTP", async () => {
    const { undone, entered, go, one } = answering(large);
    await using listeners = await startEcho({ one });
    const socket = connect(listeners.http.port, "127.0.0.1");
    const body = JSON.stringify({ text: "a" });
    socket.write(
      `POST /test.v1.Echo/One HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await entered;
    go();
    await once(socket, "readable");
    socket.resetAndDestroy();
    await eventually(() => expect(undone).toEqual(["a"]));
  });

  test("is undone when its replica shuts down", async () => {
    const { undone, entered, go, one } = answering(large);
    const listeners = await startEcho({ one });
    using client = openHttp2(listeners.grpc.port);
    const stream = client.request("One").end(encodeEnvelope(0, new Uint8Array([0x0a, 1, 0x61])));
    await entered;
    go();
    await once(stream, "response");
    await shutDown(listeners);
    expect(undone).toEqual(["a"]);
  });
});

test("an answer over gRPC whose deadline comes while it is written is undone, and never arrives", async () => {
  const { undone, entered, go, one } = answering({ bytes: 100_000 });
  await using listeners = await startEcho({ one });
  using client = openHttp2(listeners.grpc.port);
  const stream = client
    .request("One", { "grpc-timeout": "2S" })
    .end(encodeEnvelope(0, new Uint8Array([0x0a, 1, 0x61])));
  const trailers: unknown[] = [];
  stream.on("trailers", (trailer) => trailers.push(trailer));
  const closed = once(stream, "close");
  await entered;
  go();
  // It is more than such a client takes that does not read.
  await once(stream, "response");
  await eventually(() => expect(undone).toEqual(["a"]));
  stream.resume();
  await closed;
  expect(trailers).toEqual([]);
});
