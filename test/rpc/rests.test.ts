import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startEcho } from "./echo.ts";

/*
 * What is left of requests that were answered before they had arrived.
 */

const tooLargeBytes = 200_000_000;
const restBytesPerSecond = 16 * 1024 * 1024;

const head = (bytes: number) =>
  `POST /test.v1.Echo/One HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`;

/** Sends a request as fast as it is taken. */
function send(port: number, bytes: number) {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  const seen = { answer: "", taken: 0 };
  socket.on("data", (chunk) => (seen.answer += chunk.toString("latin1")));
  socket.write(head(bytes));
  const sendOn = () => {
    const chunk = Buffer.alloc(Math.min(50_000, bytes - seen.taken), " ");
    if (chunk.length === 0) return;
    socket.write(chunk, (error) => {
      if (error) return;
      seen.taken += chunk.length;
      sendOn();
    });
  };
  sendOn();
  return { socket, seen };
}

test("are read no faster than costs others nothing, of many connections together", async () => {
  await using listeners = await startEcho({ one: (note) => note });
  const { port } = listeners.http;
  const began = performance.now();
  const senders = Array.from({ length: 4 }, () => send(port, tooLargeBytes));
  for (const { seen } of senders) await eventually(() => expect(seen.answer).toContain("HTTP/1.1 429"));
  await delay(2_000);
  const taken = senders.reduce((sum, { seen }) => sum + seen.taken, 0);
  const seconds = (performance.now() - began) / 1_000;
  // What the kernel keeps for each connection counts as taken.
  expect(taken).toBeLessThan(restBytesPerSecond * (seconds + 0.5) + 4 * 8_000_000);
  for (const { socket } of senders) socket.destroy();
});

test("have all left in a moment, and the connection takes the next request", async () => {
  await using listeners = await startEcho({ one: (note) => note });
  const bytes = 20_000_000;
  const { socket, seen } = send(listeners.http.port, bytes);
  await eventually(() => expect(seen.answer).toContain("HTTP/1.1 429"));
  await eventually(() => expect(seen.taken).toBe(bytes));
  const body = JSON.stringify({ text: "next" });
  socket.write(`${head(body.length)}${body}`);
  await eventually(() => expect(seen.answer).toContain(`"text":"next"`));
  socket.destroy();
});
