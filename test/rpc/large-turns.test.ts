import { once } from "node:events";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { create, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AddContactsRequestSchema,
  BatchJobService,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { checkJson } from "../../src/rpc/requests/check-json.ts";
import { decodeInTurns } from "../../src/rpc/requests/decode.ts";
import { createLargeTurns } from "../../src/rpc/requests/large-turns.ts";
import { requestLimits } from "../../src/rpc/requests/limits.ts";
import { partsOfJson } from "../../src/rpc/requests/parts.ts";
import { shapeOf } from "../../src/rpc/requests/shape.ts";
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

const turn = async () => () => {};

describe("a request with a long list", () => {
  const contacts = Array.from({ length: 10_000 }, (_, i) => ({
    phone: `+1415${1_000_000 + i}`,
    name: `Zoë "${i}" [,]`,
    fields: { plan: "x".repeat(200), "a,b": "{}" },
  }));
  const wanted = create(AddContactsRequestSchema, { batchJobId: "1", contacts, defaultRegion: "US" });
  const binary = toBinary(AddContactsRequestSchema, wanted);
  const { batchJobId, defaultRegion } = wanted;
  const blank = `\ufeff ${JSON.stringify({ batchJobId, contacts, defaultRegion }, undefined, 1)}`;

  test.each([
    ["binary", binary],
    ["JSON", Buffer.from(toJsonString(AddContactsRequestSchema, wanted))],
    ["JSON", Buffer.from(blank)],
  ] as const)("is looked through and decoded in parts, as %s, and is what it was", async (form, bytes) => {
    let turns = 0;
    const counted = async (size: number) => {
      expect(size).toBe(bytes.length);
      turns += 1;
      return () => {};
    };
    const limits = requestLimits(BatchJobService.method.addContacts);
    expect(await decodeInTurns(AddContactsRequestSchema, bytes, form, { limits, turn: counted })).toEqual(
      wanted,
    );
    expect(turns).toBeGreaterThan(form === "JSON" ? 20 : 10);
  });

  test("is the same by any parts of its JSON", () => {
    const text = fc.string({ unit: "grapheme", maxLength: 5 });
    const contact = fc.record({ phone: text, name: text, fields: fc.dictionary(text, text, { maxKeys: 3 }) });
    const requests = fc.record(
      {
        batchJobId: text,
        contacts: fc.oneof(fc.array(contact), fc.constant(null)),
        defaultRegion: fc.constantFrom("", "US", "d\u00e9"),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(requests, fc.integer({ min: 1, max: 100 }), fc.boolean(), (request, stepBytes, isWide) => {
        const json = JSON.stringify(request, undefined, isWide ? 2 : 0);
        const steps = checkJson(shapeOf(AddContactsRequestSchema), Buffer.from(json), stepBytes);
        let step = steps.next();
        while (step.done !== true) step = steps.next();
        const message = create(AddContactsRequestSchema);
        for (const merge of partsOfJson(AddContactsRequestSchema, Buffer.from(json), step.value))
          merge(message);
        expect(message).toEqual(fromJsonString(AddContactsRequestSchema, json));
      }),
    );
  });

  test("in which something is wrong is refused with its place, wherever it is", async () => {
    const wrong = structuredClone(contacts) as { fields: Record<string, unknown> }[];
    Object.assign(wrong[9_999] ?? {}, { fields: { age: 42 } });
    const bytes = Buffer.from(JSON.stringify({ contacts: wrong }));
    const limits = requestLimits(BatchJobService.method.addContacts);
    await expect(decodeInTurns(AddContactsRequestSchema, bytes, "JSON", { limits, turn })).rejects.toThrow(
      "contacts[9999].fields.age must be a text",
    );
    const cut = binary.subarray(0, -1);
    await expect(decodeInTurns(AddContactsRequestSchema, cut, "binary", { limits, turn })).rejects.toThrow(
      "not a valid callsheet.v1.AddContactsRequest",
    );
  });
});
