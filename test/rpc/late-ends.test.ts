import { once } from "node:events";
import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { createLateEnds, mostStreams } from "../../src/rpc/calls/late-ends.ts";
import { eventually } from "../support/eventually.ts";

/** A server for which every call is one too many. */
async function startAnnoyed(options: { lateMs?: number } = {}) {
  const stack = new AsyncDisposableStack();
  const lateEnds = createLateEnds(options);
  const calls: ServerHttp2Stream[] = [];
  const server = createServer().on("stream", (call) => {
    calls.push(call.on("error", () => {}));
    if (call.session !== undefined) lateEnds.endFor(call.session, call);
  });
  stack.defer(() => void server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  async function open() {
    const session: ClientHttp2Session = connect(`http://127.0.0.1:${port}`).on("error", () => {});
    stack.defer(() => session.destroy());
    await once(session, "connect");
    const goneAway: number[] = [];
    session.on("goaway", (code) => goneAway.push(code));
    const { promise: closed, resolve: close } = Promise.withResolvers<void>();
    session.once("close", close);
    const ask = () => session.request({ ":path": "/" }).on("error", () => {});
    return { ask, closed, goneAway };
  }
  return { calls, open, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const enhanceYourCalm = 11;

describe("a connection with calls that are too many", () => {
  test("ends in a while, and its client is told why", async () => {
    await using server = await startAnnoyed();
    const client = await server.open();
    const beganMs = performance.now();
    for (let count = 0; count < 100; count += 1) client.ask();
    await client.closed;
    // At once it would be there again at once.
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(999);
    expect(client.goneAway).toEqual([enhanceYourCalm]);
    expect(server.calls).toHaveLength(100);
  });

  describe("ends at once", () => {
    const never = { lateMs: 3_600_000 };

    test("if its client has taken one back when the next one comes", async () => {
      await using server = await startAnnoyed(never);
      const client = await server.open();
      const taken = client.ask();
      await eventually(() => expect(server.calls).toHaveLength(1));
      taken.close();
      await eventually(() => expect(server.calls[0]?.closed).toBe(true));
      client.ask();
      await client.closed;
      expect(client.goneAway).toEqual([enhanceYourCalm]);
    });

    test("if there are more than a client may have at a time", async () => {
      await using server = await startAnnoyed(never);
      const client = await server.open();
      for (let count = 0; count <= mostStreams; count += 1) client.ask();
      await client.closed;
      expect(client.goneAway).toEqual([enhanceYourCalm]);
    });
  });
});
