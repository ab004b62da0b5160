import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { expect, test } from "vitest";
import { createLateEnds } from "../../src/rpc/calls/late-ends.ts";
import { createOrder } from "../../src/rpc/http/in-order.ts";
import { eventually } from "../support/eventually.ts";
import { startEcho } from "./echo.ts";
import { sendHttp } from "./raw.ts";

/*
 * Over HTTP/1.1 a client may write requests without waiting for the answers to those before.
 */

const post = (text: string) => {
  const body = JSON.stringify({ text });
  return `POST /test.v1.Echo/One HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
};

test("requests that were written at once are begun one after the other, and answered in that order", async () => {
  const begun: string[] = [];
  const letGo = Promise.withResolvers<void>();
  await using listeners = await startEcho({
    async one(note) {
      begun.push(note.text);
      if (note.text === "1") await letGo.promise;
      return note;
    },
  });
  const { port } = listeners.http;
  const answers = sendHttp(port, [1, 2, 3, 4].map((n) => post(String(n))).join(""), /"text":"4"/);
  await eventually(() => expect(begun).toEqual(["1"]));
  await sendHttp(port, post("another connection's"), /"text"/);
  expect(begun).toEqual(["1", "another connection's"]);
  letGo.resolve();
  expect([...(await answers).matchAll(/"text":"(\d)"/g)].map(([, text]) => text)).toEqual([
    "1",
    "2",
    "3",
    "4",
  ]);
  expect(begun).toEqual(["1", "another connection's", "2", "3", "4"]);
});

test("for a client that does not read, no answer is made before the one before it has left", async () => {
  let begun = 0;
  const data = new Uint8Array(8_000_000);
  await using listeners = await startEcho({
    one(note) {
      if (note.text === "more") return note;
      begun += 1;
      return { ...note, data };
    },
  });
  const { port } = listeners.http;
  const slow = connect(port, "127.0.0.1").pause();
  slow.write(post("").repeat(20));
  await eventually(() => expect(begun).toBeGreaterThan(0));
  for (let i = 0; i < 20; i += 1) await sendHttp(port, post("more"), /"more"/);
  // What the kernel keeps of an answer has left.
  expect(begun).toBeLessThan(5);
  slow.destroy();
});

test("a client that writes hundreds of requests and reads no answer loses its connection, in a while", async () => {
  let begun = 0;
  await using listeners = await startEcho({
    one: () => {
      begun += 1;
      return new Promise(() => {});
    },
  });
  const socket = connect(listeners.http.port, "127.0.0.1").on("error", () => {});
  const closed = new Promise((resolve) => socket.resume().once("close", resolve));
  await once(socket, "connect");
  const beganMs = performance.now();
  socket.write(post("").repeat(400));
  await eventually(() => expect(begun).toBe(1));
  await closed;
  // Closed at once it would be there again at once.
  expect(performance.now() - beganMs).toBeGreaterThanOrEqual(999);
  expect(begun).toBe(1);
});

test("what it is told of its requests that are cut off is not traced, and other errors are", async () => {
  const order = createOrder(createLateEnds({ lateMs: 1 }));
  const cutOff: Error[] = [];
  await using stack = new AsyncDisposableStack();
  const server = createServer((request, response) => {
    request.on("error", (error) => cutOff.push(error));
    order.take(request, response, () => {});
  });
  stack.defer(() => void server.close().closeAllConnections());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});
  const closed = new Promise((resolve) => socket.resume().once("close", resolve));
  // A body that nobody reads.
  socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n1".repeat(200));
  await closed;
  await eventually(() => expect(cutOff.length).toBeGreaterThan(128));
  expect(cutOff.filter(({ stack: trace = "" }) => trace.includes(" at "))).toEqual([]);
  expect(new Error("another").stack).toContain(" at ");
});

test("what it writes after that is not read", async () => {
  const order = createOrder(createLateEnds());
  let hostile = 0;
  await using stack = new AsyncDisposableStack();
  const server = createServer((request, response) => {
    if (request.url === "/others") return void response.end();
    hostile += 1;
    if (!order.isOver(request.socket)) order.take(request, response, () => {});
  });
  stack.defer(() => void server.close().closeAllConnections());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  /** What was written before has been read by then, if it is read at all. */
  async function others(): Promise<void> {
    for (let count = 0; count < 20; count += 1) await (await fetch(`http://127.0.0.1:${port}/others`)).text();
  }
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  const many = "GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(400);
  socket.write(many);
  await eventually(() => expect(hostile).toBeGreaterThan(128));
  await others();
  const before = hostile;
  socket.write(many);
  await others();
  expect(hostile).toBe(before);
  socket.destroy();
});
