import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
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

test("a client that writes hundreds of requests and reads no answer loses its connection", async () => {
  let begun = 0;
  await using listeners = await startEcho({
    one: () => {
      begun += 1;
      return new Promise(() => {});
    },
  });
  const socket = connect(listeners.http.port, "127.0.0.1").on("error", () => {});
  const closed = once(socket.resume(), "close");
  socket.write(post("").repeat(400));
  await closed;
  expect(begun).toBe(1);
});
