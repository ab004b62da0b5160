import { once } from "node:events";
import { connect } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { encodeEnvelope } from "@connectrpc/connect/protocol";
import { afterAll, describe, expect, test } from "vitest";
import { AccessService } from "../../src/gen/callsheet/v1/access_service_pb.ts";
import {
  BatchJobService,
  CreateBatchJobRequestSchema,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { makeContacts } from "../support/make.ts";
import { startTestService } from "../support/service.ts";
import { allRows } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const job = { name: "Spring campaign", fromPhoneNumberId: "pn_1" };
const path = `/${BatchJobService.typeName}/CreateBatchJob`;
const authorization = `Bearer ${service.apiKey}`;

async function post(type: string, body: string | Uint8Array<ArrayBuffer>) {
  const headers = { authorization, "content-type": type };
  const response = await fetch(`${service.httpUrl}${path}`, { method: "POST", headers, body });
  return { status: response.status, text: await response.text() };
}

async function postJson(body: string): Promise<{ status: number; answer: unknown }> {
  const { status, text } = await post("application/json", body);
  return { status, answer: JSON.parse(text) };
}

/** The status of a gRPC call with these bytes for its body. */
async function grpc(body: Uint8Array): Promise<{ code: unknown; message: string; hasDetails: boolean }> {
  // Node gives a client 10 MB by default.
  const session = connect(service.grpcUrl, { maxSessionMemory: 100 });
  try {
    const stream = session.request({
      ":method": "POST",
      ":path": path,
      "content-type": "application/grpc",
      te: "trailers",
      authorization,
    });
    const answer: Record<string, unknown> = {};
    stream.on("response", (header) => Object.assign(answer, header));
    stream.on("trailers", (trailer) => Object.assign(answer, trailer));
    stream.on("error", () => {});
    stream.resume();
    stream.end(body);
    await once(stream, "close");
    return {
      code: answer["grpc-status"],
      message: decodeURIComponent(String(answer["grpc-message"])),
      hasDetails: "grpc-status-details-bin" in answer,
    };
  } finally {
    session.destroy();
  }
}

const noMessage = "the request is not a valid callsheet.v1.CreateBatchJobRequest";

/** Bytes of a message: a field's number and wire type, then what is given. */
const bytes = (...values: number[]) => new Uint8Array(values);
const named = toBinary(
  CreateBatchJobRequestSchema,
  create(CreateBatchJobRequestSchema, { name: "Spring campaign", fromPhoneNumberId: "pn_1" }),
);

const notTheMessage: [string, Uint8Array<ArrayBuffer>][] = [
  ["cut off in a field", named.slice(0, 5)],
  ["cut off in a tag", bytes(0x80)],
  ["a length beyond the end", bytes(0x12, 0xff, 0xff, 0xff, 0x0f)],
  ["a tag of field 0", bytes(0x00, 0x00)],
  ["a wire type that there is not", bytes(0x17)],
  ["a text that is not UTF-8", bytes(0x12, 2, 0xc3, 0x28)],
  ["half a surrogate pair", bytes(0x12, 3, 0xed, 0xa0, 0x80)],
  ["a contact that is cut off", bytes(0x2a, 2, 0x0a, 9)],
  ["JSON", new TextEncoder().encode(JSON.stringify({ name: "Spring campaign" }))],
];

describe("a body that is not the message", () => {
  test.each(notTheMessage)("is refused by gRPC: %s", async (_, body) => {
    expect(await grpc(encodeEnvelope(0, body))).toEqual({ code: "3", message: noMessage, hasDetails: false });
  });

  test.each(notTheMessage)("is refused by Connect: %s", async (_, body) => {
    const { status, text } = await post("application/proto", body);
    expect([status, JSON.parse(text)]).toEqual([400, { code: "invalid_argument", message: noMessage }]);
  });

  test.each(notTheMessage)("is refused by gRPC-Web: %s", async (_, body) => {
    const { text } = await post("application/grpc-web+proto", encodeEnvelope(0, body));
    expect(text).toContain("grpc-status: 3");
    expect(text).toContain(encodeURIComponent(noMessage));
  });
});

describe("a body that is not the message and ends after its call's deadline", () => {
  const text = bytes(0x12, 2, 0xc3, 0x28);
  test.each([
    ["Connect", "application/proto", text],
    ["gRPC-Web", "application/grpc-web+proto", encodeEnvelope(0, text)],
  ])("is not quoted, nor an error of ours: %s", async (_, type, body) => {
    async function* late() {
      yield body.subarray(0, 1);
      // A call that has been answered took longer than a deadline of a millisecond.
      await postJson("{}");
      yield body.subarray(1);
    }
    const response = await fetch(`${service.httpUrl}${path}`, {
      method: "POST",
      headers: { authorization, "content-type": type, "connect-timeout-ms": "1", "grpc-timeout": "1m" },
      body: ReadableStream.from(late()),
      duplex: "half",
    });
    const answer = await response.text();
    expect(answer).not.toContain("parse");
    expect(answer).toMatch(type === "application/proto" ? /invalid_argument/ : /grpc-status: 3/);
  });
});

describe("a duration that JSON cannot spell", () => {
  test.each([
    ["30 days and too many nanoseconds", { seconds: 2_592_000n, nanos: 2_000_000_000 }],
    ["of -2,000,000,000 nanoseconds", { seconds: 1n, nanos: -2_000_000_000 }],
    ["beyond 64 bits of nanoseconds", { seconds: 2n ** 62n, nanos: 0 }],
    ["of -1 nanosecond", { seconds: 0n, nanos: -1 }],
  ])("is refused: %s", async (_, duration) => {
    const request = create(CreateBatchJobRequestSchema, { ...job, retryDelays: [duration] });
    const { status, text } = await post("application/proto", toBinary(CreateBatchJobRequestSchema, request));
    expect([status, JSON.parse(text)]).toMatchObject([400, { code: "invalid_argument" }]);
    expect(text).toContain("retry_delays[0]");
  });
});

test("a mask in JSON that names fields as proto does is told how JSON has them", async () => {
  const response = await fetch(`${service.httpUrl}/${AccessService.typeName}/UpdateOrganization`, {
    method: "POST",
    headers: { authorization, "content-type": "application/json" },
    body: JSON.stringify({ settings: { leaseLimit: 7 }, updateMask: "lease_limit" }),
  });
  expect([response.status, await response.json()]).toMatchObject([
    400,
    {
      message: expect.stringContaining(
        'update_mask must be names as JSON has them, with commas between, such as "leaseLimit',
      ),
    },
  ]);
});

describe("JSON that is not the message is refused, and the field is named", () => {
  test.each([
    ["a misspelt field", { ...job, scheduledStartTme: "2031-01-01T10:00" }, "scheduledStartTme"],
    ["a misspelt field of a contact", { ...job, contacts: [{ fone: "+14155550100" }] }, "fone"],
    ["a field in another case", { ...job, Name: "Spring campaign" }, "Name"],
    ["a field of another message", { ...job, batchJobId: "7" }, "batchJobId"],
    ["__proto__", JSON.parse('{"__proto__":{"name":"x"}}'), "__proto__"],
    ["a number for a text", { ...job, name: 5 }, "name"],
    ["an object for a list", { ...job, contacts: { phone: "+14155550100" } }, "contacts"],
    ["a text for a contact", { ...job, contacts: ["+14155550100"] }, "contacts[0] must be an object"],
    ["a list for fields", { ...job, contacts: [{ fields: [] }] }, "contacts[0].fields must be an object"],
    [
      "a number in fields",
      { ...job, contacts: [{ phone: "+14155550100" }, { fields: { age: 7 } }] },
      "contacts[1].fields.age must be a text",
    ],
    ["a word for a number", { ...job, maxAttempts: "many" }, "max_attempts"],
    ["a fraction for a number", { ...job, maxAttempts: 1.5 }, "max_attempts"],
    ["a number that is too large", { ...job, maxAttempts: 2_147_483_648 }, "max_attempts"],
    ["an outcome that there is not", { ...job, retryOn: ["OUTCOME_NAPPING"] }, "retry_on[0] must be one of"],
    ["an outcome as the seed spells it", { ...job, retryOn: ["busy"] }, "retry_on[0] must be one of"],
    ["words for a duration", { ...job, retryDelays: ["5 minutes"] }, "retry_delays[0] must be a duration"],
    [
      "a duration beyond all",
      { ...job, retryDelays: ["315576000001s"] },
      "retry_delays[0] must be a duration",
    ],
    ["a list", [], "must be an object"],
    ["a text", "job", "must be an object"],
    ["null", null, "must be an object"],
  ])("%s", async (_, body, name) => {
    expect(await postJson(JSON.stringify(body))).toEqual({
      status: 400,
      answer: { code: "invalid_argument", message: expect.stringContaining(name) },
    });
  });

  test.each(["{", "", '{"name":"a"}{"name":"b"}', "{'name':'a'}", '{"name":"two\nlines"}', "\ufeff{", "\0"])(
    "%j",
    async (body) => {
      expect(await postJson(body)).toEqual({
        status: 400,
        answer: {
          code: "invalid_argument",
          message: expect.stringMatching(/^The request (is not valid JSON|must be an object)/),
        },
      });
    },
  );

  test.each(["name", "description", "requestId", "fromPhoneNumberId"])(
    "half a surrogate pair in %s",
    async (field) => {
      const { status, answer } = await postJson(
        JSON.stringify({ ...job, [field]: "x" }).replace('"x"', '"\\ud83e"'),
      );
      expect(status).toBe(400);
      expect(answer).toMatchObject({ code: "invalid_argument" });
    },
  );

  test("lists nested 100,000 deep", async () => {
    const { status } = await postJson(`{"contacts":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);
    expect(status).toBe(400);
  });
});

describe("a message that is too large is refused and told the limit", () => {
  const fields = { note: "x".repeat(500) };
  const contacts = makeContacts(10_000).map(({ phone }) => ({ phone, fields }));
  const message = create(CreateBatchJobRequestSchema, { ...job, contacts });

  test("by gRPC", async () => {
    const binary = toBinary(CreateBatchJobRequestSchema, message);
    expect(binary.byteLength).toBeGreaterThan(4_194_304);
    expect(await grpc(encodeEnvelope(0, binary))).toMatchObject({
      code: "8",
      message: expect.stringContaining("4194304"),
      hasDetails: false,
    });
  });

  test("by Connect", async () => {
    const answer = { code: "resource_exhausted", message: expect.stringContaining("4194304") };
    expect(await postJson(JSON.stringify({ ...job, contacts }))).toEqual({ status: 429, answer });
  });
});

test.each(["text/plain", "application/xml", "application/json; charset=latin-1x", "application/grpc"])(
  "a body of type %s is not taken",
  async (type) => {
    expect(await post(type, JSON.stringify(job))).toMatchObject({ status: 415 });
  },
);

test("nothing of all this has left a row", async () => {
  const { events = [], event_heads: _, ...rows } = await allRows(db);
  expect(events).toEqual(events.map(() => expect.objectContaining({ actor: "service" })));
  expect(rows).toEqual({
    attempts: [],
    batch_jobs: [],
    contact_blocks: [],
    deleted_jobs: [],
    requests: [],
    zone_sets: [],
  });
});
