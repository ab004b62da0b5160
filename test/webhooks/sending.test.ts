import { once } from "node:events";
import type { Socket } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readNetworks } from "../../src/domain/networks.ts";
import { createSender, type Sent } from "../../src/webhooks/sending.ts";
import { createAuthority, createSelfSigned } from "../support/servers/authority.ts";
import { startNameServer, type Zone } from "../support/servers/dns.ts";
import { type Conduct, message, type Receiver, reply, startReceiver, verified } from "./receiver.ts";

const policy = { allowInsecure: true, allowedNetworks: readNetworks("127.0.0.1,127.0.0.3") };
const dayMs = 86_400_000;
const authority = await createAuthority();
const pair = await authority.issue({ hosts: ["receiver.test", "other.test", "127.0.0.1"] });

const known = getCACertificates("default");
beforeAll(() => setDefaultCACertificates([...known, authority.cert]));
afterAll(() => setDefaultCACertificates(known));

type Options = Parameters<typeof createSender>[1];

/** A sender that ends with its test. */
function openSender(options: Options = {}) {
  const { close, send } = createSender(policy, options);
  return { send, [Symbol.asyncDispose]: close };
}

async function sendTo({ url }: { url: string }, options: Options = {}): Promise<Sent> {
  await using sender = openSender(options);
  return await sender.send({ ...message, url });
}

const sent = (status: number | undefined, failure?: Sent["failure"], more: Partial<Sent> = {}): Sent => ({
  status,
  failure,
  durationMs: expect.any(Number),
  answer: "",
  retryAfterMs: undefined,
  ...more,
});

/** Writes again and again until the connection is gone. */
function drip(socket: Socket, bytes: string): void {
  const timer = setInterval(() => socket.write(bytes), 10);
  socket.once("close", () => clearInterval(timer));
}

function flood(socket: Socket): void {
  const bytes = Buffer.alloc(65_536, "x");
  const write = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on("drain", write);
  write();
}

const dateHeader = "retry-after: Fri, 27 Nov 2026 06:00:30 GMT";
const nowMs = () => Date.parse("2026-11-27T06:00:00Z");

describe("a receiver", () => {
  test.each<[string, Conduct, Sent]>([
    ["answers 200", reply("200 OK"), sent(200)],
    ["answers 201 with a body", reply("201 Created", "thanks"), sent(201, undefined, { answer: "thanks" })],
    ["answers 204", "HTTP/1.1 204 No Content\r\n\r\n", sent(204)],
    ["answers 299", reply("299 Odd"), sent(299)],
    ["answers as of old", { onRequest: (socket) => socket.end("HTTP/1.0 200 OK\r\n\r\n") }, sent(200)],
    ["hints, and then answers", `HTTP/1.1 103 Early Hints\r\n\r\n${reply("200 OK")}`, sent(200)],
    ...["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"].map(
      (status): [string, Conduct, Sent] => [
        `redirects by ${status}`,
        reply(status, "", "location: http://169.254.169.254/latest/meta-data/"),
        sent(Number(status.slice(0, 3)), "redirect"),
      ],
    ),
    ["answers 304", "HTTP/1.1 304 Not Modified\r\n\r\n", sent(304, "redirect")],
    ["answers 400", reply("400 Bad Request", "no"), sent(400, "status", { answer: "no" })],
    ["answers 401", reply("401 Unauthorized"), sent(401, "status")],
    ["answers 404", reply("404 Not Found"), sent(404, "status")],
    ["answers 410", reply("410 Gone"), sent(410, "gone")],
    ["answers 500", reply("500 Internal Server Error"), sent(500, "status")],
    [
      "answers 429, and when to come again",
      reply("429 Too Many Requests", "", "retry-after: 120"),
      sent(429, "status", { retryAfterMs: 120_000 }),
    ],
    [
      "answers 503, and a date to come again",
      reply("503 Service Unavailable", "", dateHeader),
      sent(503, "status", { retryAfterMs: 30_000 }),
    ],
    ["answers 503, and nonsense", reply("503 No", "", "retry-after: soon"), sent(503, "status")],
    ["answers with a status that there is not", reply("999 Odd"), sent(999, "status")],
    [
      "answers with what is no text",
      {
        onRequest: (socket) =>
          socket.write(Buffer.from(reply("200 OK", "a\0b!").replace("!", "\xff"), "latin1")),
      },
      sent(200, undefined, { answer: "a\uFFFDb\uFFFD" }),
    ],
    [
      "answers at some length",
      reply("200 OK", "é".repeat(5_000)),
      sent(200, undefined, { answer: "é".repeat(512) }),
    ],
    [
      "answers with another protocol",
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      sent(undefined, "bad_answer"),
    ],
    ["answers with no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", sent(undefined, "bad_answer")],
    [
      "answers with a header that is none",
      "HTTP/1.1 200 OK\r\nno header\r\n\r\n",
      sent(undefined, "bad_answer"),
    ],
    [
      "answers with headers without end",
      `HTTP/1.1 200 OK\r\n${`x-header: ${"x".repeat(1_000)}\r\n`.repeat(20)}\r\n`,
      sent(undefined, "bad_answer"),
    ],
    [
      "breaks off in chunks",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabZZZ\r\n",
      sent(200, "bad_answer"),
    ],
    [
      "ends the connection at once",
      { onConnection: (socket) => socket.end() },
      sent(undefined, "connection_lost"),
    ],
    [
      "resets the connection",
      { onRequest: (socket) => socket.resetAndDestroy() },
      sent(undefined, "connection_lost"),
    ],
    [
      "ends the connection after the request",
      { onRequest: (socket) => socket.end() },
      sent(undefined, "connection_lost"),
    ],
    [
      "ends the connection in its headers",
      { onRequest: (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-le") },
      sent(undefined, "connection_lost"),
    ],
    [
      "ends the connection in its body",
      { onRequest: (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf") },
      sent(200, "connection_lost"),
    ],
    [
      "ends its body with the connection",
      { onRequest: (socket) => socket.end("HTTP/1.1 200 OK\r\n\r\nall of it") },
      sent(200, undefined, { answer: "all of it" }),
    ],
    ["never reads", { onConnection: (socket) => socket.pause() }, sent(undefined, "timeout")],
    ["never answers", { onRequest: () => undefined }, sent(undefined, "timeout")],
    [
      "hints without end",
      { onRequest: (socket) => drip(socket, "HTTP/1.1 103 Early Hints\r\n\r\n") },
      sent(undefined, "timeout"),
    ],
    [
      "takes its time with its headers",
      {
        onRequest(socket) {
          socket.write("HTTP/1.1 200 OK\r\nx-header: ");
          drip(socket, "x");
        },
      },
      sent(undefined, "timeout"),
    ],
    [
      "hangs in its body",
      { onRequest: (socket) => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf") },
      sent(200, "timeout"),
    ],
    [
      "takes its time with its body",
      {
        onRequest(socket) {
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
          drip(socket, "x");
        },
      },
      sent(200, "timeout"),
    ],
    [
      "hangs in a long body",
      {
        onRequest: (socket) =>
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n${"x".repeat(1_500)}`),
      },
      sent(200, undefined, { answer: "x".repeat(1_024) }),
    ],
    [
      "answers in parts",
      {
        onRequest(socket) {
          socket.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n");
          setTimeout(() => socket.write("1\r\ny\r\n0\r\n\r\n"), 20);
        },
      },
      sent(200, undefined, { answer: "xy" }),
    ],
  ])("that %s", async (_, conduct, expected) => {
    await using receiver = await startReceiver(conduct);
    const timeoutMs = expected.failure === "timeout" ? 500 : 15_000;
    expect(await sendTo(receiver, { timeoutMs, nowMs })).toEqual(expected);
    expect(receiver.connections).toBe(1);
  });

  test("that is dead", async () => {
    const receiver = await startReceiver(reply("200 OK"));
    await receiver[Symbol.asyncDispose]();
    expect(await sendTo(receiver)).toEqual(sent(undefined, "connection_refused"));
  });

  test("that sends a gigabyte gets rid of little of it", async () => {
    const written = Promise.withResolvers<number>();
    await using receiver = await startReceiver({
      onRequest(socket) {
        socket.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        socket.once("close", () => written.resolve(socket.bytesWritten));
        flood(socket);
      },
    });
    expect(await sendTo(receiver)).toEqual(sent(200, undefined, { answer: "x".repeat(1_024) }));
    expect(await written.promise).toBeLessThan(64_000_000);
  });

  test("that sends a gigabyte that it has packed, likewise, and it is not unpacked", async () => {
    const packed = gzipSync(Buffer.alloc(1_000_000));
    await using receiver = await startReceiver({
      onRequest(socket) {
        socket.write(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${packed.length}\r\n\r\n`);
        socket.write(packed);
      },
    });
    const { answer, ...rest } = await sendTo(receiver);
    expect(rest).toMatchObject({ status: 200, failure: undefined });
    expect(answer.length).toBeLessThanOrEqual(1_024);
  });

  test("reads what the reference finds rightly signed, and a request that is JSON", async () => {
    await using receiver = await startReceiver(reply("200 OK"));
    await sendTo(receiver);
    expect(receiver.requests.map(verified)).toEqual([JSON.parse(message.body)]);
    expect(receiver.requests[0]).toMatch(
      /^POST \/hooks\?a=1 HTTP\/1\.1\r\ncontent-type: application\/json\r\n/,
    );
  });
});

const secure = async (given: Parameters<typeof authority.issue>[0]) =>
  await startReceiver(reply("200 OK"), await authority.issue(given));

describe("over TLS a receiver", () => {
  test.each<[string, () => Promise<Receiver>, Sent]>([
    ["whose certificate is right", () => secure({}), sent(200)],
    ["of another name", () => secure({ hosts: ["example.com"] }), sent(undefined, "tls")],
    ["whose certificate is over", () => secure({ lastsMs: -3_600_000 }), sent(undefined, "tls")],
    [
      "whose certificate is not valid yet",
      () => secure({ beginsInMs: dayMs, lastsMs: 2 * dayMs }),
      sent(undefined, "tls"),
    ],
    [
      "whose certificate nobody known has signed",
      async () => startReceiver(reply("200 OK"), await (await createAuthority()).issue()),
      sent(undefined, "tls"),
    ],
    [
      "that has signed its certificate itself",
      async () => startReceiver(reply("200 OK"), await createSelfSigned()),
      sent(undefined, "tls"),
    ],
  ])("%s", async (_, start, expected) => {
    await using receiver = await start();
    expect(await sendTo(receiver)).toEqual(expected);
    expect(receiver.requests).toHaveLength(expected.failure === undefined ? 1 : 0);
  });

  test.each<[string, Conduct, Sent]>([
    [
      "that speaks plain HTTP",
      { onConnection: (socket) => socket.write(reply("400 Bad Request")) },
      sent(undefined, "tls"),
    ],
    ["that ends in the handshake", { onConnection: (socket) => socket.end() }, sent(undefined, "tls")],
    ["that never shakes hands", { onConnection: (socket) => socket.pause() }, sent(undefined, "timeout")],
  ])("%s", async (_, conduct, expected) => {
    await using receiver = await startReceiver(conduct);
    const timeoutMs = expected.failure === "timeout" ? 500 : 15_000;
    const url = receiver.url.replace("http:", "https:");
    expect(await sendTo({ url }, { timeoutMs })).toEqual(expected);
  });
});

/** Sends to a name again and again, and over new connections if not told otherwise. */
async function sendToName(zone: Zone[string], times = 1, answer = reply("200 OK", "", "connection: close")) {
  await using names = await startNameServer({ "receiver.test": zone });
  await using receiver = await startReceiver(answer, pair);
  await using sender = openSender({ nameServers: names.nameServers });
  const results: Sent[] = [];
  for (let time = 1; time <= times; time++)
    results.push(await sender.send({ ...message, url: `https://receiver.test:${receiver.port}/` }));
  return { results, requests: receiver.requests.length, connections: receiver.connections };
}

describe("a name", () => {
  test.each<[string, readonly string[]]>([
    ["loopback", ["127.0.0.2"]],
    ["a private address", ["10.0.0.1"]],
    ["what a machine asks about itself", ["169.254.169.254"]],
    ["this network", ["0.0.0.0"]],
    ["a private address of IPv6", ["fd00::1"]],
    ["loopback of IPv6", ["::1"]],
    ["no address of IPv6", ["::"]],
    ["a private address, mapped", ["::ffff:10.0.0.1"]],
    ["a private address, by NAT64", ["64:ff9b::10.0.0.1"]],
    ["a private address, by 6to4", ["2002:a00:1::1"]],
    ["several, none of which may be", ["10.0.0.1", "127.0.0.2", "fd00::1", "fe80::1"]],
  ])("of %s is not connected to", async (_, addresses) => {
    expect(await sendToName([addresses])).toEqual({
      results: [sent(undefined, "address_blocked")],
      requests: 0,
      connections: 0,
    });
  });

  test("of addresses some of which may be connected to is sent to at one of these", async () => {
    const { results, requests } = await sendToName([["10.0.0.1", "127.0.0.1", "fd00::1"]]);
    expect({ results, requests }).toEqual({ results: [sent(200)], requests: 1 });
  });

  test("of addresses the first of which is dead is sent to at the second", async () => {
    const { results, requests } = await sendToName([["127.0.0.3", "127.0.0.1"]]);
    expect({ results, requests }).toEqual({ results: [sent(200)], requests: 1 });
  });

  test("that has another address the second time is not connected to there", async () => {
    expect(await sendToName([["127.0.0.1"], ["127.0.0.2"]], 3)).toEqual({
      results: [sent(200), sent(undefined, "address_blocked"), sent(undefined, "address_blocked")],
      requests: 1,
      connections: 1,
    });
  });

  test("that has another address the second time is sent to at the first while its connection is kept", async () => {
    expect(await sendToName([["127.0.0.1"], ["127.0.0.2"]], 3, reply("200 OK"))).toEqual({
      results: [sent(200), sent(200), sent(200)],
      requests: 3,
      connections: 1,
    });
  });

  test("that has the same address as another one gets a connection of its own", async () => {
    const zone = { "receiver.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]] };
    await using names = await startNameServer(zone);
    await using receiver = await startReceiver(reply("200 OK"), pair);
    await using sender = openSender({ nameServers: names.nameServers });
    for (const name of Object.keys(zone))
      expect(await sender.send({ ...message, url: `https://${name}:${receiver.port}/` })).toEqual(sent(200));
    expect(receiver.connections).toBe(2);
  });

  test.each<[string, Zone[string][number], Sent["failure"]]>([
    ["there is not", "no such name", "name_not_found"],
    ["without addresses", [], "name_not_found"],
    ["whose name server fails", "failure", "name_server_failed"],
    ["whose name server is silent", "silence", "name_server_failed"],
  ])("that %s is not sent to", async (_, said, failure) => {
    expect((await sendToName([said])).results).toEqual([sent(undefined, failure)]);
  });

  test("of loopback over http is sent to, and one of another address is not, exception or not", async () => {
    await using names = await startNameServer({ a: [["127.0.0.1"]], b: [["10.0.0.1"]], c: [["8.8.8.8"]] });
    await using receiver = await startReceiver(reply("200 OK"));
    const results = await Promise.all(
      ["localhost", "a", "b", "c"].map((name) =>
        sendTo({ url: `http://${name}:${receiver.port}/` }, { nameServers: names.nameServers }),
      ),
    );
    const blocked = sent(undefined, "address_blocked");
    expect(results).toEqual([sent(200), sent(200), blocked, blocked]);
  });
});

describe("a connection", () => {
  test("is kept for the next request", async () => {
    await using receiver = await startReceiver(reply("200 OK", "thanks"));
    await using sender = openSender();
    for (let time = 1; time <= 12; time++)
      expect(await sender.send({ ...message, url: receiver.url })).toMatchObject({ status: 200 });
    expect(receiver.connections).toBe(1);
  });

  test("that was kept and is ended by its receiver makes no failure", async () => {
    await using receiver = await startReceiver({
      onRequest: (socket, count) => (count === 2 ? socket.destroy() : socket.write(reply("200 OK"))),
    });
    await using sender = openSender();
    for (let time = 1; time <= 2; time++)
      expect(await sender.send({ ...message, url: receiver.url })).toEqual(sent(200));
    expect({ connections: receiver.connections, requests: receiver.requests.length }).toEqual({
      connections: 2,
      requests: 3,
    });
  });

  test("is not kept where the rest of an answer was not read", async () => {
    await using receiver = await startReceiver(reply("200 OK", "x".repeat(2_000)));
    await using sender = openSender();
    for (let time = 1; time <= 2; time++)
      expect(await sender.send({ ...message, url: receiver.url })).toMatchObject({ status: 200 });
    expect(receiver.connections).toBe(2);
  });

  test("is ended when there was no time for the answer", async () => {
    const closed = Promise.withResolvers<void>();
    await using receiver = await startReceiver({
      onRequest: (socket) => socket.once("close", closed.resolve),
    });
    await using sender = openSender({ timeoutMs: 500 });
    expect(await sender.send({ ...message, url: receiver.url })).toEqual(sent(undefined, "timeout"));
    await closed.promise;
  });

  test("is ended when whoever sends gives up, who hears of the reason", async () => {
    const asked = Promise.withResolvers<Socket>();
    await using receiver = await startReceiver({ onRequest: asked.resolve });
    await using sender = openSender();
    const stop = new AbortController();
    const sending = sender.send({ ...message, url: receiver.url, signal: stop.signal });
    const socket = await asked.promise;
    stop.abort(new Error("stopped"));
    await expect(sending).rejects.toThrow("stopped");
    if (!socket.closed) await once(socket, "close");
    await expect(sender.send({ ...message, url: receiver.url, signal: stop.signal })).rejects.toThrow(
      "stopped",
    );
    expect(receiver.connections).toBe(1);
  });

  test("that is kept is ended at the end", async () => {
    await using receiver = await startReceiver(reply("200 OK"));
    const sender = createSender(policy);
    await sender.send({ ...message, url: receiver.url });
    const [socket] = receiver.sockets;
    expect(socket?.closed).toBe(false);
    await sender.close();
    await once(socket as Socket, "close");
  });
});
