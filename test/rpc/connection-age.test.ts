import { once } from "node:events";
import { Agent, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { queryObjects } from "node:v8";
import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { all } from "./calls.ts";
import { echoClient, everyClient } from "./clients.ts";
import { startEcho } from "./echo.ts";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { openHttp2 } from "./raw.ts";

const maxAgeMs = 250;

describe.each(everyClient)("%s", (name) => {
  test("sees no call fail while its connections come of age, and long ones end as they should", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    await using listeners = await startEcho({
      connectionMaxAgeMs: maxAgeMs,
      async *down(note) {
        yield { text: "first" };
        await held;
        yield { text: note.text };
      },
    });
    const client = echoClient(name, listeners);
    const long = all(client.down({ text: "last" }));
    long.catch(() => {});
    const untilMs = performance.now() + 8 * maxAgeMs;
    const callers = Array.from({ length: 8 }, async () => {
      let calls = 0;
      for (; performance.now() < untilMs; calls += 1) {
        expect(await client.one({ text: String(calls) })).toMatchObject({ text: String(calls) });
      }
      return calls;
    });
    for (const calls of await Promise.all(callers)) expect(calls).toBeGreaterThan(0);
    release();
    expect((await long).map(({ text }) => text)).toEqual(["first", "last"]);
  });
});

/** Sends a call every 20 ms for four times the age of a connection; answers whether it was closed meanwhile. */
async function isClosedWhileBusy(userAgent: string): Promise<boolean> {
  await using listeners = await startEcho({ connectionMaxAgeMs: maxAgeMs });
  using client = openHttp2(listeners.grpc.port);
  for (let sent = 0; sent < (4 * maxAgeMs) / 20 && !client.session.closed; sent += 1) {
    client.request("One", { "user-agent": userAgent }).end(encodeEnvelope(0, new Uint8Array()));
    await delay(20);
  }
  return client.session.closed;
}

describe("a gRPC connection of age", () => {
  test("is closed when nothing comes over it, and what is under way ends as it should", async () => {
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    await using listeners = await startEcho({
      connectionMaxAgeMs: maxAgeMs,
      one: async (note) => (await held, note),
    });
    using client = openHttp2(listeners.grpc.port);
    const stream = client.request("One");
    stream.end(encodeEnvelope(0, new Uint8Array()));
    await once(client.session, "goaway");
    release();
    const [trailers] = await Promise.all([once(stream, "trailers"), stream.resume()]);
    expect(trailers[0]).toMatchObject({ "grpc-status": "0" });
    await once(client.session, "close");
  });

  test("is closed at once where its client repeats what was refused unseen", async () => {
    expect(await isClosedWhileBusy("grpc-node-js/1.14.7")).toBe(true);
  });

  test("is not closed while calls come, where its client does not", async () => {
    expect(await isClosedWhileBusy("connect-es/2.2.0")).toBe(false);
  });
});

test("a connection that has ended leaves nothing of the timer that was to end it", async () => {
  await using listeners = await startEcho({ connectionMaxAgeMs: 3_600_000 });
  // Node has a list of timers for each duration that there is one of; the age of each connection is a little different.
  const timer = setTimeout(() => {}, 1_000);
  const { constructor: TimersList }: { constructor: Function } = Reflect.get(timer, "_idlePrev");
  clearTimeout(timer);
  const lists = () => queryObjects(TimersList, { format: "count" });
  const before = lists();
  for (let opened = 0; opened < 30; opened += 1) {
    using client = openHttp2(listeners.grpc.port);
    await once(client.session, "remoteSettings");
  }
  await eventually(async () => expect(lists()).toBeLessThan(before + 10));
});

test("a gRPC connection says how many calls it takes at a time", async () => {
  await using listeners = await startEcho({});
  using client = openHttp2(listeners.grpc.port);
  await once(client.session, "remoteSettings");
  expect(client.session.remoteSettings.maxConcurrentStreams).toBe(250);
});

/** The answer's header `connection`, over a connection that is kept. */
const connectionOf = (port: number, agent: Agent) =>
  new Promise<string | undefined>((resolve, reject) => {
    request({ port, agent, path: "/" }, (response) => {
      response.resume().once("end", () => resolve(response.headers.connection));
    })
      .once("error", reject)
      .end();
  });

test.each([
  [maxAgeMs, "close"],
  [undefined, "keep-alive"],
])(
  "over HTTP/1.1 the next answer on a connection of age %s says %s",
  async (connectionMaxAgeMs, expected) => {
    await using listeners = await startEcho(connectionMaxAgeMs === undefined ? {} : { connectionMaxAgeMs });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    expect(await connectionOf(listeners.http.port, agent)).toBe("keep-alive");
    await delay(2 * maxAgeMs);
    expect(await connectionOf(listeners.http.port, agent)).toBe(expected);
    expect(await connectionOf(listeners.http.port, agent)).toBe("keep-alive");
    agent.destroy();
  },
);
