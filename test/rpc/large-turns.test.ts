import { once } from "node:events";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { createLargeTurns } from "../../src/rpc/requests/large-turns.ts";
import { NoteSchema, startEcho } from "./echo.ts";
import { openHttp2 } from "./raw.ts";

const large = 1_000_000;
const [greedy, neighbour] = [1, 2];

test("a small message waits for nobody", async () => {
  const turns = createLargeTurns();
  await turns.take(large, 1);
  expect(await turns.take(1_000, 2)).toBeTypeOf("function");
});

test("large messages are decoded one at a time, and organizations take turns", async () => {
  const turns = createLargeTurns();
  const begun: number[] = [];
  let inHand = 0;
  let mostInHand = 0;
  const decode = async (organization: number) => {
    const settled = await turns.take(large, organization);
    begun.push(organization);
    mostInHand = Math.max(mostInHand, (inHand += 1));
    setImmediate(() => (inHand -= 1));
    settled();
  };
  const all = [...Array.from({ length: 20 }, () => decode(greedy)), decode(neighbour)];
  await Promise.all(all);
  expect(begun.indexOf(neighbour)).toBeLessThanOrEqual(2);
  expect(mostInHand).toBe(1);
});

test("every large message has its turn, however many wait", async () => {
  const turns = createLargeTurns();
  const decode = async (organization: number) => (await turns.take(large, organization))();
  const others = Array.from({ length: 40 }, (_, i) => decode(i + 10));
  const all = Promise.all([...others, ...Array.from({ length: 400 }, () => decode(greedy))]);
  await expect(all).resolves.toHaveLength(440);
});

test("a large message is looked through in one turn and decoded in the next, on both listeners", async () => {
  const takenOf: number[] = [];
  let inTurn = false;
  const take = async (bytes: number) => {
    await new Promise(setImmediate);
    expect(inTurn).toBe(false);
    inTurn = true;
    setImmediate(() => (inTurn = false));
    takenOf.push(bytes);
    return () => {};
  };
  await using listeners = await startEcho({ largeTurns: { take } });
  const note = create(NoteSchema, { data: new Uint8Array(400_000) });
  const message = toBinary(NoteSchema, note);
  using client = openHttp2(listeners.grpc.port);
  const call = client.request("One").resume().end(encodeEnvelope(0, message));
  const [trailers] = await once(call, "trailers");
  expect(trailers).toMatchObject({ "grpc-status": "0" });
  expect(takenOf).toEqual([message.length, message.length]);
  const body = toJsonString(NoteSchema, note);
  const headers = { "content-type": "application/json" };
  const url = `http://127.0.0.1:${listeners.http.port}/test.v1.Echo/One`;
  expect((await fetch(url, { method: "POST", headers, body })).status).toBe(200);
  expect(takenOf.slice(2)).toEqual([body.length, body.length]);
});
