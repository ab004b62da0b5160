import { create, fromBinary, fromJsonString, toBinary } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CreateBatchJobRequestSchema,
  ListBatchJobsRequestSchema,
} from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import {
  ExtendLeasesRequestSchema,
  ReportOutcomesRequestSchema,
} from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { checkJson } from "../../src/rpc/requests/check-json.ts";
import { countBinary } from "../../src/rpc/requests/count-binary.ts";
import { type Shape, shapeOf } from "../../src/rpc/requests/shape.ts";
import { describeRefusal } from "../support/refusal.ts";

const creation = shapeOf(CreateBatchJobRequestSchema);
const listing = shapeOf(ListBatchJobsRequestSchema);
const mebibyte = 1024 * 1024;

/** What the check says; undefined if nothing. */
function complaint(check: () => void): ConnectError | undefined {
  try {
    check();
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
  return undefined;
}

const checkWhole = (shape: Shape, json: string) => [...checkJson(shape, Buffer.from(json))];

const ofJson = (json: unknown, shape = creation) =>
  complaint(() => checkWhole(shape, typeof json === "string" ? json : JSON.stringify(json)));

const isAccepted = (work: () => unknown): boolean => {
  try {
    work();
    return true;
  } catch {
    return false;
  }
};

const emoji = "🦜";
const texts = fc.oneof(
  fc.string(),
  fc.constantFrom("", '"', "\\", emoji, "null", "\u0000", "é", "\ud83e", "__proto__"),
);
const contacts = fc.array(
  fc.record(
    { phone: texts, name: texts, fields: fc.dictionary(texts, texts, { maxKeys: 4 }) },
    { requiredKeys: [] },
  ),
  { maxLength: 4 },
);
const requests = fc.record(
  {
    name: fc.oneof(texts, fc.constantFrom(null, 5, true, [], {})),
    contacts: fc.oneof(contacts, fc.constantFrom(null, {}, [null], [[]], "x")),
    maxAttempts: fc.constantFrom(1, "2", "two", 1.5, 1e9, 1e10, "", null, true),
    retryOn: fc.constantFrom(["OUTCOME_BUSY", 3], [3.5], ["busy"], [null], null, "OUTCOME_BUSY"),
    retryDelays: fc.constantFrom(["5s", "0.5s"], ["5"], [{}], [5], null),
    retry_delays: fc.constant(["7s"]),
    typo: fc.constant(1),
  },
  { requiredKeys: [] },
);
/** JSON as it is written, with a few bytes of it changed. */
const almostJson = fc
  .tuple(requests, fc.array(fc.tuple(fc.nat(), fc.constantFrom(...'{}[]",:\\ 0n\tx')), { maxLength: 2 }))
  .map(([request, changes]) => {
    let json = JSON.stringify(request);
    for (const [at, character] of changes) {
      const place = at % json.length;
      json = json.slice(0, place) + character + json.slice(place + 1);
    }
    return json;
  });

describe("JSON", () => {
  test("is refused by the check, or accepted, as protobuf does it", () => {
    fc.assert(
      fc.property(almostJson, (json) => {
        const accepted = isAccepted(() => fromJsonString(CreateBatchJobRequestSchema, json));
        expect([json, ofJson(json) === undefined]).toEqual([json, accepted]);
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([
    [{ contacts: [{}, { fields: { age: 42 } }] }, "contacts[1].fields.age must be a text"],
    [{ contacts: [{ fields: { "home town": null } }] }, `contacts[0].fields."home town" must be a text`],
    [{ contacts: [{ phone: 4155550100 }] }, "contacts[0].phone must be a text"],
    [{ contacts: [{ nmae: "Ada" }] }, "contacts[0].nmae is unknown; known are phone, name, fields"],
    [{ contacts: [{ fields: ["Ada"] }] }, "contacts[0].fields must be an object"],
    [{ contacts: "+14155550100" }, "contacts must be a list"],
    [{ maxAttempts: "many" }, "max_attempts must be a whole number"],
    [{ retryDelays: ["5s", "soon"] }, "retry_delays[1] must be a duration"],
    [`{"name":"a","name":"b"}`, "name stands there twice"],
    [`{"name":"a"`, "is missing at byte 11"],
  ])("that is not the message is refused with the place: %j", (json, words) => {
    expect(ofJson(json)?.rawMessage).toContain(words);
  });

  test("is refused without what stands there", () => {
    const secret = "+14155550100";
    for (const json of [
      { maxAttempts: secret },
      { retryOn: [secret] },
      { retryDelays: [secret] },
      { contacts: [secret] },
      `{"name":"${secret}" ${secret}`,
    ])
      expect(ofJson(json)?.rawMessage).not.toContain("4155550100");
  });

  test.each([
    ["contacts", `{"contacts":[${"{},".repeat(5 * mebibyte)}{}]}`],
    ["contacts[0].fields", `{"contacts":[{"fields":{${`"":"",`.repeat(2 * mebibyte)}"":""}}]}`],
    ["retry_on", `{"retryOn":[${"3,".repeat(8 * mebibyte)}3]}`],
  ])("is refused before it is made into objects: too many %s", (field, json) => {
    const error = ofJson(json);
    expect(describeRefusal(error)).toMatchObject({ reason: "too_large", metadata: { field } });
  });

  test("with a structure where none belongs is refused at its first byte", () => {
    const deep = `{"name":${"[".repeat(16 * mebibyte)}`;
    expect(ofJson(deep)?.rawMessage).toBe("The request's field name must be a text.");
  });
});

const ofBytes = (bytes: Uint8Array, shape = creation) => complaint(() => countBinary(shape, bytes));

const repeated = (count: number, ...bytes: number[]) =>
  Buffer.alloc(count * bytes.length, Buffer.from(bytes));

/** A field of bytes, whose length is a varint of four. */
const field = (number: number, value: Uint8Array) => {
  const size = value.length;
  const length = [(size & 127) | 128, ((size >> 7) & 127) | 128, ((size >> 14) & 127) | 128, size >> 21];
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), value]);
};
/** The tag of a number, 1,000, that no field has. */
const unknown = [0xc0, 0x3e];

describe("bytes", () => {
  const listings = fc
    .record({
      pageSize: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      pageToken: fc.string({ maxLength: 300 }),
      statuses: fc.array(fc.constantFrom(1, 2, 3, 4), { maxLength: 40 }),
      nameContains: fc.string(),
    })
    .map((init) => create(ListBatchJobsRequestSchema, init));

  test("pass the check exactly if no list is too long", () => {
    fc.assert(
      fc.property(listings, (message) => {
        const error = ofBytes(toBinary(ListBatchJobsRequestSchema, message), listing);
        expect(error === undefined).toBe(message.statuses.length <= 20);
      }),
    );
  });

  test("pass the check, whatever they are, only if what they are decoded to is small", () => {
    const changes = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 });
    fc.assert(
      fc.property(listings, changes, (message, changed) => {
        const bytes = toBinary(ListBatchJobsRequestSchema, message);
        for (const [at, byte] of changed) if (bytes.length > 0) bytes[at % bytes.length] = byte;
        const isRefused = ofBytes(bytes, listing) !== undefined;
        const isDecoded = isAccepted(() => fromBinary(ListBatchJobsRequestSchema, bytes));
        const most = isDecoded ? fromBinary(ListBatchJobsRequestSchema, bytes).statuses.length : 0;
        expect(isRefused || most <= 20).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });

  test("of the largest request that is allowed pass the check", () => {
    const outcomes = Array.from({ length: 1_000 }, () => ({ failureReason: emoji.repeat(1_000) }));
    const bytes = toBinary(ReportOutcomesRequestSchema, create(ReportOutcomesRequestSchema, { outcomes }));
    expect(ofBytes(bytes, shapeOf(ReportOutcomesRequestSchema))).toBeUndefined();
  });

  test.each([
    ["contacts", creation, repeated(8 * mebibyte, 0x2a, 0)],
    ["contacts[0].fields", creation, field(5, repeated(4 * mebibyte, 0x1a, 2, 0x0a, 0))],
    ["statuses", listing, field(3, repeated(mebibyte, 99))],
    ["statuses", listing, repeated(mebibyte, 0x18, 99)],
    ["", creation, repeated(8 * mebibyte, ...unknown, 1)],
    ["contacts[0]", creation, field(5, repeated(mebibyte, ...unknown, 1))],
  ])("are refused before they are made into objects: too many %s", (place, shape, bytes) => {
    expect(describeRefusal(ofBytes(bytes, shape))).toMatchObject({
      reason: "too_large",
      metadata: { field: place },
    });
  });

  const hidden = repeated(20_000, 0x2a, 0);
  /**
   * A name whose tag the decoder takes for something else, its length for a tag, and its first eight bytes for a
   * number.
   */
  const name = field(2, Buffer.concat([Buffer.from([128, 128, 128, 128, 128, 128, 128, 0]), hidden]));

  test.each([
    ["a duration that ends in the middle of a number", Buffer.from([0x4a, 2, 0x08, 0x80]), name],
    ["a packed list that does", Buffer.from([0x42, 1, 0x80]), name],
    ["a key that is longer than its entry", Buffer.from([0x2a, 4, 0x1a, 2, 0x0a, 1]), name],
    ["a number that says it has a length", field(7, hidden), Buffer.alloc(0)],
  ])(
    "are refused where contacts hide from the check, though not from the decoder: %s",
    (_, first, second) => {
      const bytes = Buffer.concat([first, second]);
      expect(fromBinary(CreateBatchJobRequestSchema, bytes).contacts.length).toBeGreaterThan(10_000);
      expect(ofBytes(bytes)?.rawMessage).toBe(
        "the request is not a valid callsheet.v1.CreateBatchJobRequest",
      );
    },
  );
});

describe("a text that is far too long is refused as its rule would refuse it, and nobody looks at all of it", () => {
  const extending = shapeOf(ExtendLeasesRequestSchema);
  const long = "🦜".repeat(10_000);
  const leaseIds = ["short", long];

  test.each([
    ["as JSON", () => checkWhole(creation, JSON.stringify({ name: long })), "name", 200],
    [
      "in binary",
      () =>
        countBinary(
          creation,
          toBinary(CreateBatchJobRequestSchema, create(CreateBatchJobRequestSchema, { name: long })),
        ),
      "name",
      200,
    ],
    ["in a list, as JSON", () => checkWhole(extending, JSON.stringify({ leaseIds })), "lease_ids[1]", 64],
    [
      "in a list, in binary",
      () =>
        countBinary(
          extending,
          toBinary(ExtendLeasesRequestSchema, create(ExtendLeasesRequestSchema, { leaseIds })),
        ),
      "lease_ids[1]",
      64,
    ],
  ])("%s", (_, check, place, most) => {
    expect(describeRefusal(complaint(check))).toMatchObject({
      reason: "invalid_argument",
      message: `The request's field ${place} is wrong: must be at most ${most} characters.`,
      metadata: { field: place },
    });
  });

  test("and one that may be just as long as it is allowed to be is left to the rule", () => {
    const name = "🦜".repeat(200);
    const json = JSON.stringify({ name }).replaceAll("🦜", String.raw`\ud83e\udd9c`);
    expect(complaint(() => checkWhole(creation, json))).toBeUndefined();
    const most = create(CreateBatchJobRequestSchema, { name });
    const bytes = toBinary(CreateBatchJobRequestSchema, most);
    expect(complaint(() => countBinary(creation, bytes))).toBeUndefined();
  });
});
