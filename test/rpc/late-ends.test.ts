import { once } from "node:events";
import { connect, createSecureServer, createServer, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, test } from "vitest";
import { flags, frame, grpcHeaders, types } from "../../bench/raw-http2.ts";
import { createLateEnds, keepAtHand, mostStreams } from "../../src/rpc/calls/late-ends.ts";
import { eventually } from "../support/eventually.ts";
import { createSelfSigned } from "../support/servers/authority.ts";

const pair = await createSelfSigned();

const transports = {
  TCP: { create: () => createServer(), event: "connection", connect: (port: number) => connectTcp(port) },
  TLS: {
    create: () => createSecureServer(pair),
    event: "secureConnection",
    connect: (port: number) => connectTls({ port, ALPNProtocols: ["h2"], rejectUnauthorized: false }),
  },
};

/** A server for which every call is one too many. */
async function startAnnoyed(
  options: { lateMs?: number; isInUse?: () => boolean; over?: keyof typeof transports } = {},
) {
  const { over = "TCP", ...usual } = options;
  const lateEnds = createLateEnds(usual);
  const calls: ServerHttp2Stream[] = [];
  const sockets: Socket[] = [];
  const server = transports[over].create();
  server.on(transports[over].event, (socket: Socket) => {
    keepAtHand(socket);
    sockets.push(socket.on("error", () => {}));
  });
  server.on("stream", (call: ServerHttp2Stream) => {
    calls.push(call.on("error", () => {}));
    if (call.session !== undefined) lateEnds.endFor(call.session, call);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  return {
    calls,
    sockets,
    port,
    lateEnds,
    [Symbol.dispose]() {
      lateEnds[Symbol.dispose]();
      server.close();
    },
  };
}

/** A client as it should be: it ends its connection when it is told to go away. */
async function open(port: number) {
  const session = connect(`http://127.0.0.1:${port}`).on("error", () => {});
  await once(session, "connect");
  const goneAway: number[] = [];
  session.on("goaway", (code) => goneAway.push(code));
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  session.once("close", resolve);
  const ask = () => session.request({ ":path": "/" }).on("error", () => {});
  return { ask, closed, goneAway, [Symbol.dispose]: () => session.destroy() };
}

const enhanceYourCalm = 11;
const begin = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(types.settings, 0, 0, Buffer.alloc(0)),
]);
const ask = (id: number) => frame(types.headers, flags.endHeaders, id, grpcHeaders("/"));

const never = { lateMs: 3_600_000 };

describe("a connection with calls that are too many", () => {
  test("ends in a while, and its client is told why", async () => {
    using server = await startAnnoyed();
    using client = await open(server.port);
    const beganMs = performance.now();
    for (let count = 0; count < 100; count += 1) client.ask();
    await client.closed;
    // At once it would be there again at once.
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(999);
    expect(client.goneAway).toEqual([enhanceYourCalm]);
    expect(server.calls).toHaveLength(100);
  });

  test("does not end where somebody with a key has come to call, but those calls do", async () => {
    using server = await startAnnoyed({ lateMs: 50, isInUse: () => true });
    using client = await open(server.port);
    const calls = Array.from({ length: 3 }, client.ask);
    await Promise.all(calls.map((call) => once(call, "close").catch(() => {})));
    expect(calls.map(({ rstCode }) => rstCode)).toEqual([7, 7, 7]);
    expect(client.goneAway).toEqual([]);
    client.ask();
    await eventually(() => expect(server.calls).toHaveLength(4));
  });

  test("ends though its client says that it goes, and leaves its own end open", async () => {
    using server = await startAnnoyed({ lateMs: 50 });
    const socket = connectTcp({ port: server.port, allowHalfOpen: true })
      .on("error", () => {})
      .resume();
    await once(socket, "connect");
    socket.write(Buffer.concat([begin, ask(1)]));
    await eventually(() => expect(server.calls).toHaveLength(1));
    socket.write(frame(types.goaway, 0, 0, Buffer.alloc(8)));
    await eventually(() => expect(server.sockets[0]?.closed).toBe(true));
    socket.destroy();
  });

  test("ends at once if there are more than a client may have at a time", async () => {
    using server = await startAnnoyed(never);
    using client = await open(server.port);
    for (let count = 0; count <= mostStreams; count += 1) client.ask();
    await client.closed;
    expect(client.goneAway).toEqual([enhanceYourCalm]);
  });

  test.each(["TCP", "TLS"] as const)(
    "makes no more calls once its client has taken one back, and stays open for the while, over %s",
    async (over) => {
      using server = await startAnnoyed({ ...never, over });
      const socket = transports[over]
        .connect(server.port)
        .on("error", () => {})
        .resume();
      await once(socket, over === "TCP" ? "connect" : "secureConnect");
      socket.write(Buffer.concat([begin, ask(1)]));
      await eventually(() => expect(server.calls).toHaveLength(1));
      socket.write(frame(types.reset, 0, 1, Buffer.from([0, 0, 0, 8])));
      await eventually(() => expect(server.calls[0]?.closed).toBe(true));
      socket.write(ask(3));
      await eventually(() => expect(server.calls).toHaveLength(2));
      const closed = once(socket, "close");
      for (let id = 5; id < 1_000; id += 2) socket.write(ask(id));
      // What was written before has come by then.
      for (let count = 0; count < 20; count += 1) {
        const other = transports[over].connect(server.port).on("error", () => {});
        await once(other, "data");
        other.destroy();
      }
      expect(server.calls).toHaveLength(2);
      expect([socket.closed, server.sockets[0]?.closed]).toEqual([false, false]);
      server.lateEnds[Symbol.dispose]();
      await closed;
    },
  );
});
