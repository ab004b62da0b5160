import { describe, expect, test } from "vitest";
import {
  type ContactInput,
  badName,
  badPhone,
  duplicatePhone,
  isSmallEnough,
  readE164,
  judge,
  sortOut,
  tooLarge,
} from "../../src/domain/contacts/contact.ts";

const contact = (fields: Partial<ContactInput> = {}): ContactInput => ({
  phone: "+14155550100",
  name: "Ada",
  fields: {},
  ...fields,
});

/** Judged, and sorted out. */
const sorted = (inputs: readonly ContactInput[]) => sortOut(inputs.map(judge));
const reasonFor = (input: ContactInput) => sorted([input]).rejected[0]?.reason ?? "accepted";

const manyFields = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, ""]));

const emoji = "\u{1F469}\u{1F3FD}";
const family = "\u{1F468}\u200D\u{1F469}\u200D\u{1F467}";

describe("a phone", () => {
  test.each([
    ["+1234567", "accepted"],
    ["+123456789012345", "accepted"],
    ["+442071838750", "accepted"],
    ["+123456", "invalid_phone_format"],
    ["+1234567890123456", "invalid_phone_format"],
    ["+0123456789", "invalid_phone_format"],
    ["", "invalid_phone_format"],
    ["+", "invalid_phone_format"],
    ["14155550100", "invalid_phone_format"],
    ["0014155550100", "invalid_phone_format"],
    ["++14155550100", "invalid_phone_format"],
    ["+1415555010a", "invalid_phone_format"],
    ["+14155550100\n", "invalid_phone_format"],
    ["+14155550100\0", "invalid_phone_format"],
    ["+14155550100;ext=1", "invalid_phone_format"],
    ["+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", "invalid_phone_format"],
    ["\uFF0B14155550100", "invalid_phone_format"],
    ["tel:+14155550100", "invalid_phone_format"],
    ["1 415 555 0100", "invalid_phone_format"],
    ["+1 415 555 0100 x12", "invalid_phone_format"],
    ["+44 (0)20 7183 8750", "invalid_phone_format"],
    [`+1 415 555 0100${" ".repeat(50)}`, "invalid_phone_format"],
    ['="14155550100"', "invalid_phone_format"],
  ])("%j: %s", (phone, verdict) => {
    expect(reasonFor(contact({ phone }))).toBe(verdict);
  });

  test.each([
    "+1 415 555 0100",
    "+1-415-555-0100",
    "+1 (415) 555-0100",
    "(+1) 415.555/0100",
    " +14155550100 ",
    "\u202A+1\u00A0415\u2009555\u20110100\u202C\u200B\uFEFF",
    '="+14155550100"',
    "'+1 415 555 0100",
  ])("is kept without spaces and marks: %j", (phone) => {
    expect(sorted([contact({ phone }), contact()])).toEqual({
      accepted: [{ ...contact(), index: 0 }],
      rejected: [{ index: 1, phone: "+14155550100", ...duplicatePhone }],
    });
  });

  test.each([
    ["4.15556E+10", "must have all its digits"],
    ["+14155550100.0", "must have all its digits"],
    ["0151 2345678", "must be E.164: a plus sign"],
    ["+44 (0)20 7183 8750", "without the zero in parentheses"],
  ])("that is rejected says by which rule: %j", (phone, rule) => {
    expect(sorted([contact({ phone })]).rejected).toEqual([
      {
        index: 0,
        phone,
        reason: "invalid_phone_format",
        field: "phone",
        rule: expect.stringContaining(rule),
      },
    ]);
  });
});

test("without a default region, a phone as it is written in a country is told of one", () => {
  expect(readE164("(415) 555-0132")).toMatchObject({
    reason: "invalid_phone_format",
    rule: expect.stringMatching(
      /^must be E\.164: .*; with a default region it may be as it is written there$/,
    ),
  });
});

describe("a name", () => {
  test.each([
    ["that is empty", "accepted", ""],
    ["of 200 letters", "accepted", "a".repeat(200)],
    ["of 201 letters", "invalid_fields", "a".repeat(201)],
    ["of 200 code points of emoji", "accepted", emoji.repeat(100)],
    ["of 201 code points of emoji", "invalid_fields", `${emoji.repeat(100)}a`],
    ["of 401 units in 201 code points", "invalid_fields", `${"\u{1F600}".repeat(200)}a`],
    ["that is very long", "invalid_fields", "a".repeat(1_000_000)],
    ["with joined emoji", "accepted", `The ${family} family`],
    ["written from right to left", "accepted", "\u05E9\u05DC\u05D5\u05DD \u0645\u0631\u062D\u0628\u0627"],
    ["with marks of direction", "accepted", "\u200Fabc\u200E \u2067def\u2069"],
    ["with combining marks", "accepted", "Zoe\u0308"],
    ["with a no-break space", "accepted", "Ada\u00A0Lovelace"],
    ["with NUL", "invalid_fields", "a\0b"],
    ["with a line feed", "invalid_fields", "a\nb"],
    ["with a tab", "invalid_fields", "a\tb"],
    ["with DEL", "invalid_fields", "a\u007Fb"],
    ["with a C1 control", "invalid_fields", "a\u0085b"],
    ["with a lone high surrogate", "invalid_fields", "a\uD83Db"],
    ["with a lone low surrogate", "invalid_fields", "a\uDE00b"],
    ["that ends in half a pair", "invalid_fields", "a\uD83D"],
    ["with halves in the wrong order", "invalid_fields", "\uDE00\uD83D"],
  ])("%s: %s", (_, verdict, name) => {
    expect(reasonFor(contact({ name }))).toBe(verdict);
  });
});

describe("fields", () => {
  test.each<[string, string, Record<string, string>]>([
    ["50 of them", "accepted", manyFields(50)],
    ["51 of them", "invalid_fields", manyFields(51)],
    ["an empty key", "invalid_fields", { "": "x" }],
    ["a key of 64 characters", "accepted", { ["k".repeat(64)]: "x" }],
    ["a key of 65 characters", "invalid_fields", { ["k".repeat(65)]: "x" }],
    ["a key of 64 code points of emoji", "accepted", { ["\u{1F600}".repeat(64)]: "x" }],
    ["a key of 65 code points of emoji", "invalid_fields", { ["\u{1F600}".repeat(65)]: "x" }],
    ["an empty value", "accepted", { k: "" }],
    ["a value of 1,000 characters", "accepted", { k: "v".repeat(1000) }],
    ["a value of 1,001 characters", "invalid_fields", { k: "v".repeat(1001) }],
    ["a value of 1,000 code points of emoji", "accepted", { k: emoji.repeat(500) }],
    ["a value of 1,001 code points of emoji", "invalid_fields", { k: `${emoji.repeat(500)}v` }],
    ["a control character in a key", "invalid_fields", { "a\u0007": "x" }],
    ["a line feed and a tab in a value", "accepted", { k: "a\nb\tc" }],
    ["another control character in a value", "invalid_fields", { k: "a\r\nb" }],
    ["a lone surrogate in a key", "invalid_fields", { "a\uD83D": "x" }],
    ["a lone surrogate in a value", "invalid_fields", { k: "\uDE00a" }],
    ["a wrong one after a right one", "invalid_fields", { good: "x", bad: "\0" }],
    ["keys that objects have by themselves", "accepted", { constructor: "x", toString: "y" }],
  ])("%s: %s", (_, verdict, fields) => {
    expect(reasonFor(contact({ fields }))).toBe(verdict);
  });

  test.each<[string, string, Partial<ContactInput>]>([
    ["the name", "name", { name: "a\nb" }],
    ["how many there are", "fields", { fields: manyFields(51) }],
    ["a key", "fields", { fields: { "": "x" } }],
    ["a value", 'fields["the \\"plan\\""]', { fields: { good: "x", 'the "plan"': "a\rb" } }],
  ])("that are rejected say where: %s", (_, field, given) => {
    expect(sorted([contact(given)]).rejected).toEqual([
      {
        index: 0,
        phone: "+14155550100",
        reason: "invalid_fields",
        field,
        rule: expect.stringMatching(/^must /),
      },
    ]);
  });
});

const stored = ({ phone, name, fields }: ContactInput) =>
  Buffer.byteLength(`${phone}\t${name}\t${JSON.stringify(fields)}`);

/** One that takes so many bytes: its fields are of three-byte letters, and at last of one-byte ones. */
const ofBytes = (bytes: number): ContactInput => {
  const full = Object.fromEntries(Array.from({ length: 10 }, (__, i) => [`k${i}`, "東".repeat(1_000)]));
  for (let i = 10; ; i += 1) {
    const left = bytes - stored(contact({ fields: { ...full, [`k${i}`]: "" } }));
    full[`k${i}`] = "v".repeat(Math.min(1_000, left));
    if (left <= 1_000) return contact({ fields: full });
  }
};

describe("a contact as it is stored", () => {
  test("takes 32 KiB at most", () => {
    expect(sorted([ofBytes(32 * 1024)]).rejected).toEqual([]);
    expect(sorted([ofBytes(32 * 1024 + 1)]).rejected).toEqual([
      { index: 0, phone: "+14155550100", ...tooLarge },
    ]);
  });

  test("of any few fields is never too large", () => {
    const widest = contact({
      phone: "+123456789012345",
      name: "\u{1F600}".repeat(200),
      fields: Object.fromEntries(
        Array.from({ length: 7 }, (_, i) => [`${i}${"\u{1F600}".repeat(63)}`, "\u{1F600}".repeat(1_000)]),
      ),
    });
    expect(isSmallEnough(widest.phone, widest.name, JSON.stringify(widest.fields))).toBe(true);
  });
});

describe("sorting out", () => {
  test("keeps the order and tells each contact's place among those given", () => {
    const inputs = ["+14155550103", "junk", "+14155550101", "+14155550102"].map((phone) =>
      contact({ phone }),
    );
    expect(sorted(inputs)).toEqual({
      accepted: [
        { ...contact({ phone: "+14155550103" }), index: 0 },
        { ...contact({ phone: "+14155550101" }), index: 2 },
        { ...contact({ phone: "+14155550102" }), index: 3 },
      ],
      rejected: [{ index: 1, phone: "junk", ...badPhone("junk") }],
    });
  });

  test("keeps the first of those with the same phone", () => {
    const inputs = ["first", "second", "third"].map((name) => contact({ name }));
    expect(sorted(inputs)).toEqual({
      accepted: [{ ...contact({ name: "first" }), index: 0 }],
      rejected: [
        { index: 1, phone: "+14155550100", ...duplicatePhone },
        { index: 2, phone: "+14155550100", ...duplicatePhone },
      ],
    });
  });

  test("does not count a rejected contact as the first with its phone", () => {
    const { accepted, rejected } = sorted([contact({ name: "\0" }), contact({ name: "second" })]);
    expect(accepted).toEqual([{ ...contact({ name: "second" }), index: 1 }]);
    expect(rejected).toEqual([{ index: 0, phone: "+14155550100", ...badName }]);
  });

  test("gives a wrong phone before wrong fields, and wrong fields before a duplicate", () => {
    const { rejected } = sorted([
      contact(),
      contact({ phone: "junk", name: "\0" }),
      contact({ name: "\0" }),
      contact(),
    ]);
    expect(rejected.map(({ reason }) => reason)).toEqual([
      "invalid_phone_format",
      "invalid_fields",
      "duplicate_phone",
    ]);
  });

  test("shows 50 characters of a phone that is longer, and no half ones", () => {
    const long = `a${"\u{1F600}".repeat(1_000)}`;
    expect(sorted([contact({ phone: long })]).rejected).toEqual([
      { index: 0, phone: `a${"\u{1F600}".repeat(49)}`, ...badPhone(long) },
    ]);
  });

  test("makes nothing of nothing", () => {
    expect(sorted([])).toEqual({ accepted: [], rejected: [] });
  });
});
