import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { ContactInput } from "../../../src/domain/contacts/contact.ts";
import { currentContacts } from "../../../src/postgres/contacts/current-contacts.ts";
import { cellsOf, fileOf } from "../../support/exports.ts";
import { aNewJob, createJobWith, onJob } from "../../support/make.ts";
import { startParts } from "../../support/parts.ts";

const parts = await startParts();
afterAll(() => parts[Symbol.asyncDispose]());

const person = (fields: Record<string, string>, name = "", i = 0) => ({
  phone: `+1415${5_550_100 + i}`,
  name,
  fields,
});

const contactsOf = async (jobId: string) =>
  await parts.db
    .selectFrom(currentContacts.as("contacts"))
    .select(["number", "phone", "name", "fields"])
    .where("job_id", "=", jobId)
    .orderBy("number")
    .execute();

async function importFile(file: Uint8Array) {
  const { batchJobId } = await parts.jobs.create(onJob(parts, ""), aNewJob({ contacts: [] }));
  async function* chunks() {
    yield file;
  }
  const imported = await parts.contactImport.run(
    { caller: parts.caller, requestId: "", expectedRevision: undefined, batchJobId },
    chunks(),
  );
  return { batchJobId, imported };
}

/** What a spreadsheet would run, wherever it stands. */
const isRun = (cell: string) => /^\s*[=+\-@\t\r\n\uFF1D\uFF0B\uFF0D\uFF20]/.test(cell);

/**
 * The same file as a spreadsheet has it that takes semicolons for its separators, and quotes where they begin a cell.
 */
const cellsBySemicolon = (file: Uint8Array) =>
  Buffer.from(file)
    .toString()
    .split(/[;\r\n]+/)
    .map((cell) => cell.replace(/^"+/, ""));

/** Exports these contacts and imports the file; answers what was so in the one job and what is so in the other. */
async function thereAndBack(contacts: readonly ContactInput[]) {
  const id = await createJobWith(parts, contacts);
  const file = await fileOf(parts, id, { attempts: "all" });
  const { batchJobId, imported } = await importFile(file);
  const { acceptedCount, rejectedCount } = imported;
  return {
    before: { contacts: await contactsOf(id), acceptedCount: contacts.length, rejectedCount: 0, run: [] },
    after: {
      contacts: await contactsOf(batchJobId),
      acceptedCount,
      rejectedCount,
      run: [...cellsOf(file).flat(), ...cellsBySemicolon(file)].filter(isRun),
    },
  };
}

/** Names of fields that would be taken for something else, or run, if they stood there as they are. */
const oddNames = [
  [
    "phone",
    "Phone",
    "name",
    "NAME",
    "timezone",
    "Mobile",
    "status",
    "attempts",
    "last_outcome",
    "error_code",
  ],
  ["last_attempt_at", "attempt_1_outcome", "attempt_2_worker_id", 'fields["status"]', "fields[]", 'fields["'],
  ["a;=1+1;b", 'c;"=1', ";-"],
  [" plan", "plan ", "plan", "'", "'plan", "=1+1", "+14155550100", "-", "@x", "a+14155550100", "=’"],
  ['a"b', "a,b", "a;b", "a|b", "__proto__", "constructor", "toString", "7", "\uFEFFx", "\u00A0", "é"],
].flat();

const oddTexts = [
  ["", " ", " x ", "'", "''", "=", "+", "-", "@", "'=", "''='", "'+1", "=1+1", "@SUM(A1)", "-5", "+49"],
  ["  =1", "' =1", '="5"', "'’", "\uFF1Dx", "\uFEFF", "\uFEFF=1", "\u00A0=1", "\u2028", '"', '""', "sep=;"],
  ["{}", "[]", "\\N", ",", ";", "|", 'say "hi"', "a, b", "'quoted'", "1E+10", "null", "0"],
  [
    "a;=1+1;b",
    "a; =1",
    'a;"=1;"',
    "a;'=1",
    "a;''=1",
    ";;+1",
    "=1;=1",
    "'a;=1",
    ";\uFF1D1",
    ";'",
    "a;b",
    ";'a",
  ],
  ["Zoë 🦊", "👩‍👩‍👧", "שלום", "x".repeat(1_000)],
].flat();

const isText = (some: string): boolean => !/[\p{Cc}\p{Cs}]/u.test(some);
const isName = (some: string): boolean => isText(some) && [...some].length <= 200;

/** Some of these, whatever can be made of what is special in a cell, and any other. */
const textLike = (odd: readonly string[], maxLength: number) => {
  const letters = [..."'=+-@,;| \"\\ax0é", "🦊", "\uFF1D", "\uFEFF", "\u00A0"];
  return fc
    .oneof(
      fc.constantFrom(...odd),
      fc.array(fc.constantFrom(...letters), { maxLength: 6 }).map((some) => some.join("")),
      fc.string({ unit: "grapheme", maxLength }),
    )
    .filter(isText);
};

const anyPerson = fc.record({
  name: textLike(oddTexts, 50).filter(isName),
  fields: fc.array(
    fc.tuple(
      textLike(oddNames, 15).filter((key) => key !== ""),
      textLike(oddTexts, 50),
    ),
    { maxLength: 8 },
  ),
});

describe("a file that was exported is imported as the same contacts", () => {
  test.each(oddNames)("whatever their fields are called: %j", async (name) => {
    const { before, after } = await thereAndBack([
      person(Object.fromEntries([[name, "x"]])),
      person({}, "", 1),
      person(Object.fromEntries(["other", name].map((key) => [key, ""])), "", 2),
    ]);
    expect(after).toEqual(before);
  });

  test("whatever their names and values are", async () => {
    const { before, after } = await thereAndBack([
      ...oddTexts.map((value, i) => person({ value }, "", i)),
      ...oddTexts.filter(isName).map((name, i) => person({}, name, 100 + i)),
    ]);
    expect(after).toEqual(before);
  });

  test("also if each has fifty fields of its own", async () => {
    const contacts = [0, 1, 2].map((i) =>
      person(Object.fromEntries(Array.from({ length: 50 }, (_, k) => [`${i}.${k}`, String(k)])), "", i),
    );
    const { before, after } = await thereAndBack(contacts);
    expect(after).toEqual(before);
  });

  test("at random", async () => {
    const somePeople = fc.array(anyPerson, { minLength: 1, maxLength: 20 });
    const isSame = fc.asyncProperty(somePeople, async (people) => {
      const contacts = people.map(({ name, fields }, i) => person(Object.fromEntries(fields), name, i));
      const { before, after } = await thereAndBack(contacts);
      expect(after).toEqual(before);
    });
    await fc.assert(isSame, { numRuns: 60 });
  });
});

async function importLines(...lines: string[]) {
  const { batchJobId, imported } = await importFile(Buffer.from(lines.join("\n")));
  return { imported, fields: (await contactsOf(batchJobId)).map(({ fields }) => fields) };
}

describe("a file with titles as an export has them", () => {
  test("keeps a column that was put in, and misses none that was taken out", async () => {
    const titles = "status,attempts,last_outcome,note,phone,error_code";
    const { fields } = await importLines(titles, "busy,1,busy,call Ada,+14155550100,");
    expect(fields).toEqual([{ note: "call Ada" }]);
  });

  test("is another file if it lacks those that tell it from others", async () => {
    const { fields } = await importLines("phone,status,error_code", "+14155550100,gold,'-5");
    expect(fields).toEqual([{ status: "gold", error_code: "-5" }]);
  });

  test("has a row rejected that has more fields than a contact may have", async () => {
    const keys = Array.from({ length: 51 }, (_, i) => `k${i}`);
    const { imported, fields } = await importLines(
      ["phone", ...keys, "status", "attempts", "last_outcome"].join(","),
      ["+14155550100", ...keys, "", "", ""].join(","),
      ["+14155550101", ...keys.slice(1), "'", "", "", ""].join(","),
    );
    expect(fields).toHaveLength(1);
    expect(imported.rejected).toMatchObject([{ line: 2, reason: "invalid_fields", field: "fields" }]);
  });
});
