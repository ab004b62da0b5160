import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";
import { allRows, refusedAs } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1" };
const phone = "+14155550100";
const times = (count: number, text: string) => text.repeat(count);
const fieldsOf = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`f${i}`, ""]));

/** What is wrong, and what the answer shows of it: what can be printed, and no more than 50 characters. */
const wrongPhones: [string, string, string?][] = [
  ["nothing", ""],
  ["a plus sign", "+"],
  ["no plus sign", "14155550100"],
  ["a country code of 0", "+04155550100"],
  ["6 digits", "+123456"],
  ["16 digits", "+1234567890123456"],
  ["a letter", "+1415555010a"],
  ["a line feed at the end", "+14155550100\n", "+14155550100\ufffd"],
  ["full-width digits", "+１４１５５５５０１００"],
  ["Arabic digits", "+1415555٠١٠٠"],
  ["a scheme", "tel:+14155550100"],
  ["a NUL", "\0", "\ufffd"],
  ["100,000 digits", times(100_000, "1"), times(50, "1")],
];

const wrongContacts: [string, JsonObject][] = [
  ["a name of 201 characters", { phone, name: times(201, "x") }],
  ["a name of 201 emoji", { phone, name: times(201, "🦜") }],
  ["a NUL in the name", { phone, name: "Ada\0" }],
  ["a line feed in the name", { phone, name: "Ada\nLovelace" }],
  ["a C1 control character in the name", { phone, name: "Ada\u0085" }],
  ["51 fields", { phone, fields: fieldsOf(51) }],
  ["a field without a key", { phone, fields: { "": "x" } }],
  ["a key of 65 characters", { phone, fields: { [times(65, "x")]: "x" } }],
  ["a value of 1,001 characters", { phone, fields: { note: times(1001, "x") } }],
  ["a control character in a key", { phone, fields: { "a\tb": "x" } }],
  ["a control character in a value", { phone, fields: { note: "a\u001bb" } }],
];

const fineContacts: [string, JsonObject][] = [
  ["a phone of 7 digits", { phone: "+1234567" }],
  ["a phone of 15 digits", { phone: "+123456789012345" }],
  ["a name of 200 emoji", { phone, name: times(200, "🦜") }],
  ["a name with right-to-left and combining characters", { phone, name: "\u202eשלום e\u0301 👩🏽‍💻" }],
  ["a name that looks like SQL and JSON", { phone, name: `'); drop table contacts; -- {"a":"\\u0000"}` }],
  ["50 fields", { phone, fields: fieldsOf(50) }],
  ["the longest key and value", { phone, fields: { [times(64, "🦜")]: times(1000, "🦜") } }],
  ["keys that mean something elsewhere", { phone, fields: { constructor: "a", toString: "b", $ref: "c" } }],
];

const rejected = (shownPhone: JsonValue, reason: string) => ({
  ok: {
    acceptedCount: 0,
    totalContacts: 0,
    rejectedContactsCount: 1,
    rejectedContacts: [
      {
        index: 0,
        phone: shownPhone,
        reason: `REJECTION_REASON_${reason.toUpperCase()}`,
        field: expect.stringMatching(/^(phone|name|fields(\[".+"\])?)$/),
        rule: expect.stringMatching(/^must /),
      },
    ],
  },
});

describe.each(bothListeners)("%s", (name) => {
  const call = callerFor(name, service);
  const create = async () =>
    (await answered<{ batchJobId: string }>(call("createBatchJob", aJob))).batchJobId;

  /** What AddContacts and CreateBatchJob say to one contact that is not accepted; nothing may change. */
  async function rejection(contact: JsonObject, reason: string) {
    const batchJobId = await create();
    const before = await allRows(db);
    const added = await call("addContacts", { batchJobId, contacts: [contact] });
    const created = await call("createBatchJob", { ...aJob, contacts: [contact] });
    expect(await allRows(db)).toEqual(before);
    expect(created).toEqual(
      refusedAs("no_valid_contacts", "invalid_argument", {
        field: "contacts",
        rejectedContactsCount: "1",
        firstReason: reason,
      }),
    );
    return added;
  }

  test.each(wrongPhones)("rejects a phone that is none: %s", async (_, given, shown = given) => {
    expect(await rejection({ phone: given }, "invalid_phone_format")).toEqual(
      rejected(shown, "invalid_phone_format"),
    );
  });

  test.each(wrongContacts)("rejects a contact with %s", async (_, contact) => {
    expect(await rejection(contact, "invalid_fields")).toEqual(rejected(phone, "invalid_fields"));
  });

  test("keeps a phone without the spaces and marks that were written into it", async () => {
    const batchJobId = await create();
    const contacts = [{ phone: " +1 (415) 555-0100" }, { phone }];
    expect(await call("addContacts", { batchJobId, contacts })).toMatchObject({
      ok: { acceptedCount: 1, rejectedContacts: [{ index: 1, field: "phone" }] },
    });
    expect(await call("listContacts", { batchJobId })).toMatchObject({
      ok: { contacts: [{ number: 1, phone }] },
    });
  });

  test.each(fineContacts)("keeps a contact with %s as it is", async (_, contact) => {
    const batchJobId = await create();
    expect(await call("addContacts", { batchJobId, contacts: [contact] })).toMatchObject({
      ok: { acceptedCount: 1, totalContacts: 1, rejectedContacts: [] },
    });
    expect(await call("listContacts", { batchJobId })).toMatchObject({
      ok: { contacts: [{ number: 1, name: "", fields: {}, ...contact }] },
    });
  });

  test("shows the first 100 of 10,000 rejected contacts, and counts all", async () => {
    const batchJobId = await create();
    const contacts = Array.from({ length: 10_000 }, (_, i) => ({ phone: `0${i}` }));
    const answer = await answered<{ rejectedContacts: { index: number }[] }>(
      call("addContacts", { batchJobId, contacts }),
    );
    expect(answer).toMatchObject({ acceptedCount: 0, rejectedContactsCount: 10_000 });
    expect(answer.rejectedContacts.map(({ index }) => index)).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
  });
});

test.each(["name", "phone", "fields"])(
  "half a surrogate pair in a contact's %s is no JSON text",
  async (field) => {
    const call = callerFor("plain fetch", service);
    const half = "\ud83e";
    const contact = { phone, name: "Ada", fields: {}, [field]: field === "fields" ? { note: half } : half };
    const before = await allRows(db);
    expect(await call("createBatchJob", { ...aJob, contacts: [contact] })).toEqual({
      refused: {
        code: "invalid_argument",
        message: expect.stringContaining(`contacts[0].${field}`),
        details: [],
      },
    });
    expect(await allRows(db)).toEqual(before);
  },
);
