import { once } from "node:events";
import { connect } from "node:net";
import type { HandlerContext } from "@connectrpc/connect";
import { createWritableIterable, encodeEnvelope } from "@connectrpc/connect/protocol";
import { describe, expect, test } from "vitest";
import { startGrpcListener } from "../../src/rpc/grpc/listener.ts";
import { startHttpListener } from "../../src/rpc/http/listener.ts";
import { eventually } from "../support/eventually.ts";
import { refusalOf } from "./calls.ts";
import { echoClient, everyClient, grpcClients } from "./clients.ts";
import { startEcho, type Listeners } from "./echo.ts";
import { openHttp2 } from "./raw.ts";

const graceMs = 10_000;
const listenerOf = (name: string, { grpc, http }: Listeners) => (grpcClients.includes(name) ? grpc : http);

/** A unary method that answers when it is let, and knows whether it was disturbed. */
function held() {
  const entered = Promise.withResolvers<HandlerContext>();
  const go = Promise.withResolvers<void>();
  return {
    entered: entered.promise,
    go: go.resolve,
    async one(_: unknown, context: HandlerContext) {
      entered.resolve(context);
      await go.promise;
      return { text: context.signal.aborted ? "disturbed" : "in peace" };
    },
  };
}

async function* watch(_: unknown, { signal }: HandlerContext) {
  yield { text: "first" };
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
}

describe.each(everyClient)("stop, seen by %s", (name) => {
  test("lets a call in hand answer in peace", async () => {
    const { entered, go, one } = held();
    await using listeners = await startEcho({ one });
    const call = echoClient(name, listeners).one({});
    await entered;
    const stopped = listenerOf(name, listeners).stop(graceMs);
    go();
    expect(await call).toMatchObject({ text: "in peace" });
    await stopped;
  });

  test("ends a stream of answers at once with unavailable", async () => {
    await using listeners = await startEcho({ down: watch });
    const answers = echoClient(name, listeners).down({})[Symbol.asyncIterator]();
    await answers.next();
    const stopped = listenerOf(name, listeners).stop(graceMs);
    expect(await refusalOf(answers.next())).toMatchObject({
      code: "Unavailable",
      message: "the server is shutting down",
    });
    await stopped;
  });

  test("refuses a new call as unavailable while another is in hand", async () => {
    const { entered, go, one } = held();
    await using listeners = await startEcho({ one });
    const client = echoClient(name, listeners);
    const call = client.one({});
    await entered;
    const stopped = listenerOf(name, listeners).stop(graceMs);
    expect(await refusalOf(echoClient(name, listeners).look({}))).toMatchObject({ code: "Unavailable" });
    go();
    await Promise.all([call, stopped]);
  });

  test("cuts a call whose grace is over, and tells its handler", async () => {
    const { entered, one } = held();
    await using listeners = await startEcho({ one });
    const call = refusalOf(echoClient(name, listeners).one({}));
    const { signal } = await entered;
    await listenerOf(name, listeners).stop(1);
    expect(signal.reason).toMatchObject({ rawMessage: "the server is shutting down" });
    expect(["Unavailable", "Aborted", "Canceled"]).toContain((await call).code);
  });
});

describe("stop", () => {
  test("waits for a handler whose client has gone", async () => {
    const { entered, go, one } = held();
    await using listeners = await startEcho({ one });
    const client = openHttp2(listeners.grpc.port);
    client.request("One").end(encodeEnvelope(0, new Uint8Array()));
    const { signal } = await entered;
    client.close();
    await eventually(() => expect(signal.aborted).toBe(true));
    const order: string[] = [];
    const stopped = listeners.grpc.stop(graceMs).then(() => order.push("stopped"));
    setImmediate(() => {
      order.push("let go");
      go();
    });
    await stopped;
    expect(order).toEqual(["let go", "stopped"]);
  });

  test("lets a stream that a client sends come to its answer", async () => {
    const begun = Promise.withResolvers<HandlerContext>();
    await using listeners = await startEcho({
      async up(notes, context) {
        begun.resolve(context);
        let count = 0;
        for await (const note of notes) count += note.count;
        return { count, text: context.signal.aborted ? "disturbed" : "in peace" };
      },
    });
    const notes = createWritableIterable<{ count: number }>();
    const call = echoClient("grpc-js", listeners).up(notes);
    await begun.promise;
    const stopped = listeners.grpc.stop(graceMs);
    void notes.write({ count: 7 });
    notes.close();
    expect(await call).toMatchObject({ count: 7, text: "in peace" });
    await stopped;
  });

  test("refuses a call on a connection that was kept, and closes it", async () => {
    const gates = { first: Promise.withResolvers<void>(), second: Promise.withResolvers<void>() };
    const entered = { first: Promise.withResolvers<void>(), second: Promise.withResolvers<void>() };
    await using listeners = await startEcho({
      async one({ text }) {
        const name = text === "first" ? "first" : "second";
        entered[name].resolve();
        await gates[name].promise;
        return {};
      },
    });
    const socket = connect(listeners.http.port, "127.0.0.1");
    const post = (text: string) =>
      socket.write(
        `POST /test.v1.Echo/One HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${
          text.length + 11
        }\r\n\r\n{"text":"${text}"}`,
      );
    const call = echoClient("Connect JSON", listeners).one({ text: "second" });
    post("first");
    await Promise.all([entered.first.promise, entered.second.promise]);
    const stopped = listeners.http.stop(graceMs);
    gates.first.resolve();
    const [answer] = await once(socket, "data");
    expect(String(answer)).toMatch(/^HTTP\/1.1 200 /);
    post("third");
    const [refusal] = await once(socket, "data");
    expect(String(refusal)).toMatch(/^HTTP\/1.1 503 [^]*connection: close[^]*"unavailable"/i);
    gates.second.resolve();
    await Promise.all([call, stopped]);
  });

  test("is the same when it is asked for twice", async () => {
    await using listeners = await startEcho();
    for (const listener of [listeners.http, listeners.grpc])
      expect(listener.stop(graceMs)).toBe(listener.stop(0));
  });

  test("does not wait for connections that ask for nothing", async () => {
    await using listeners = await startEcho();
    const sockets = [connect(listeners.http.port, "127.0.0.1"), connect(listeners.grpc.port, "127.0.0.1")];
    for (const socket of sockets) socket.on("error", () => {});
    await Promise.all(sockets.map((socket) => once(socket, "connect")));
    sockets[0]?.write("POST /half");
    await echoClient("Connect JSON", listeners).one({});
    await echoClient("grpc-js", listeners).one({});
    const begun = performance.now();
    await Promise.all([listeners.http.stop(60_000), listeners.grpc.stop(60_000)]);
    expect(performance.now() - begun).toBeLessThan(graceMs);
  });

  test("refuses connections afterwards", async () => {
    await using listeners = await startEcho();
    await Promise.all([listeners.http.stop(0), listeners.grpc.stop(0)]);
    for (const { port } of [listeners.http, listeners.grpc]) {
      const [error] = await once(connect(port, "127.0.0.1"), "error", {}).catch((thrown: unknown) => [
        thrown,
      ]);
      expect(error).toMatchObject({ code: "ECONNREFUSED" });
    }
  });
});

describe.each([
  ["gRPC", "GRPC_PORT", startGrpcListener],
  [
    "HTTP",
    "PORT",
    (options: Parameters<typeof startGrpcListener>[0]) => startHttpListener({ ...options, pages: {} }),
  ],
] as const)("the %s listener", (_, setting, start) => {
  const options = { host: "127.0.0.1", port: 0, services: [], interceptors: [], gate: () => {} };

  test("says which port is in use", async () => {
    const { port, stop } = await start(options);
    await expect(start({ ...options, port })).rejects.toThrow(
      `Cannot listen on 127.0.0.1:${port} (HOST, ${setting}): the port is in use; free it, or set ${setting} to another.`,
    );
    await stop(0);
  });

  test("says which host there is not", async () => {
    const host = "no-such-host.invalid";
    await expect(start({ ...options, host, port: 7 })).rejects.toThrow(
      /^Cannot listen on no-such-host.invalid:7 \(HOST, /,
    );
  });

  test("listens on a name and on IPv6", async () => {
    for (const host of ["localhost", "::1"]) {
      const { port, stop } = await start({ ...options, host });
      expect(port).toBeGreaterThan(0);
      await stop(0);
    }
  });
});

const get = async ({ http }: Listeners, path: string, init: RequestInit = {}) => {
  const response = await fetch(`http://127.0.0.1:${http.port}${path}`, init);
  const type = response.headers.get("content-type");
  return { status: response.status, type, text: await response.text() };
};

describe("a page", () => {
  const pages = {
    "/readyz": () => ({ status: 503, body: "not yet\n" }),
    "/metrics": async () => ({
      headers: { "content-type": "text/x" },
      body: new TextEncoder().encode("up 1"),
    }),
    "/broken": () => {
      throw new Error("the password is hunter2");
    },
  };

  const plain = "text/plain; charset=utf-8";

  test.each([
    ["/readyz", { status: 503, type: plain, text: "not yet\n" }],
    ["/readyz?verbose", { status: 503, type: plain, text: "not yet\n" }],
    ["/metrics", { status: 200, type: "text/x", text: "up 1" }],
    ["/broken", { status: 500, type: plain, text: "internal error\n" }],
    ["/readyz/", { status: 404, type: plain, text: "There is nothing at this path.\n" }],
    ["/", { status: 404, type: plain, text: "There is nothing at this path.\n" }],
    ["/constructor", { status: 404, type: plain, text: "There is nothing at this path.\n" }],
  ])("is found at its exact path only: %s", async (path, expected) => {
    await using listeners = await startEcho({ pages });
    expect(await get(listeners, path)).toEqual(expected);
  });

  test("can only be read", async () => {
    await using listeners = await startEcho({ pages });
    expect(await get(listeners, "/readyz", { method: "POST" })).toMatchObject({ status: 405 });
    expect(await get(listeners, "/readyz", { method: "HEAD" })).toEqual({
      status: 503,
      type: plain,
      text: "",
    });
  });

  test("needs to pass no gate", async () => {
    await using listeners = await startEcho({ pages, gate: () => expect.fail("a page came to the gate") });
    expect(await get(listeners, "/metrics")).toMatchObject({ status: 200 });
  });
});
