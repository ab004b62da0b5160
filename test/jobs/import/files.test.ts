import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { currentContacts } from "../../../src/postgres/contacts/current-contacts.ts";
import { useFreshParts } from "../../support/fresh.ts";
import { makeJob, onJob } from "../../support/make.ts";
import type { Parts } from "../../support/parts.ts";
import { refusal } from "../../support/refusal.ts";

/*
 * Files as people have them: files/ holds what was sent to services like this, with fictional numbers.
 */
const freshParts = useFreshParts();

async function importFile(parts: Parts, file: Uint8Array | string) {
  const job = await makeJob(parts, { contacts: 0 });
  const bytes = file.toString().endsWith(".csv")
    ? readFileSync(join(import.meta.dirname, "files", String(file)))
    : Buffer.from(file);
  async function* pieces() {
    yield bytes;
  }
  const { caller, requestId, expectedRevision } = onJob(parts, job.id);
  const request = { caller, requestId, expectedRevision, batchJobId: job.id };
  return { job, answer: parts.contactImport.run(request, pieces()) };
}

async function contactsOf(parts: Parts, jobId: string): Promise<unknown[]> {
  const rows = await parts.db
    .selectFrom(currentContacts.as("contacts"))
    .select(["phone", "name", "fields"])
    .where("job_id", "=", jobId)
    .orderBy("number")
    .execute();
  return rows.map(({ phone, name, fields }) => [phone, name, fields]);
}

const one = "+14155550100";
const two = "+14155550101";
const names = (...of: string[]) => of.map((name, i) => [`+1415555010${i}`, name, {}]);

describe("a file is read:", () => {
  test.each<[string, string | Uint8Array, unknown[]]>([
    [
      "with spaces after its commas",
      "space-after-comma.csv",
      [
        [one, "Ada", { city: "Rome" }],
        [two, "Bob", { city: "Bonn" }],
      ],
    ],
    ["with a line that tells its separator", "sep-line.csv", names("Ada", "Bob")],
    ["with lines that end with CR", "cr-only.csv", names("Ada", "Bob")],
    ["with columns that have neither titles nor values", "trailing-columns.csv", names("Ada", "Bob")],
    ["with a comma at the end of each row", "trailing-comma-in-rows.csv", names("Ada", "Bob")],
    [
      "with semicolons",
      "semicolon.csv",
      [
        [one, "Ada", { city: "Köln" }],
        [two, "Lovelace, Bob", { city: "Bonn" }],
      ],
    ],
    ["in UTF-16, with tabs", "utf16le-unicode-text.csv", names("José", "Łukasz")],
    [
      "in UTF-16 of the other order",
      Buffer.from(`\uFEFFphone|name\n${one}|Łukasz`, "utf16le").swap16(),
      names("Łukasz"),
    ],
    ["in UTF-16 that does not say so", Buffer.from(`phone,name\n${one},Łukasz`, "utf16le"), names("Łukasz")],
    [
      "with another usual title of the phone",
      "header-phone-number.csv",
      [[one, "", { "First Name": "Ada", "Last Name": "Lovelace" }]],
    ],
    ["with a German title", `Name;Telefon-Nr.\nAda;${one}\n`, names("Ada")],
    ["with a phone and a mobile", `phone,mobile\n${one},${two}\n`, [[one, "", { mobile: two }]]],
    ["in Windows-1252", "windows-1252.csv", names("José", "10 – 20")],
    [
      "with a line end in a value",
      "newline-in-notes.csv",
      [
        [one, "Ada", { notes: "Suite 4\nMain St" }],
        [two, "Bob", { notes: "ok" }],
      ],
    ],
    ["with formulas of a spreadsheet", "excel-text-formula.csv", names("Ada", "Bob", "Cy")],
    ["with characters that nobody sees", "invisible-characters.csv", names("Ada", "Bob", "Cy")],
  ])("%s", async (_, file, expected) => {
    await using parts = await freshParts();
    const { job, answer } = await importFile(parts, file);
    expect(await answer).toMatchObject({ acceptedCount: expected.length, rejectedCount: 0 });
    expect(await contactsOf(parts, job.id)).toEqual(expected);
  });

  test("with lines that end in two ways", async () => {
    await using parts = await freshParts();
    const { answer } = await importFile(parts, "half-crlf-half-lf.csv");
    expect(await answer).toMatchObject({ acceptedCount: 60, rejectedCount: 0 });
  });
});

describe("a row is rejected with its line, its field and the rule:", () => {
  const badPhone = { reason: "invalid_phone_format", field: "phone", rule: expect.stringContaining("E.164") };
  test.each<[string, string, number, unknown[]]>([
    ["after empty lines", "blank-lines-then-bad.csv", 1, [{ line: 6, phone: "12345", ...badPhone }]],
    ["after rows of commas", "comma-only-rows.csv", 1, [{ line: 123, ...badPhone }]],
    [
      "with a phone that is written in another way",
      "formatted-international.csv",
      4,
      [
        { line: 6, phone: "tel:+14155550104", ...badPhone },
        { line: 7, phone: "0014155550105", ...badPhone },
      ],
    ],
    [
      "with a phone that a spreadsheet has rounded",
      `phone\n1.41556E+10\n${one}\n`,
      1,
      [
        {
          line: 2,
          phone: "1.41556E+10",
          reason: "invalid_phone_format",
          rule: expect.stringContaining("must have all its digits"),
        },
      ],
    ],
    [
      "with too few values",
      `phone,name,plan\n${one},Ada\n`,
      0,
      [
        {
          line: 2,
          reason: "invalid_fields",
          field: "",
          rule: expect.stringContaining("it has 2, and there are 3"),
        },
      ],
    ],
    [
      "with values that have no title",
      `phone,,name\n${one},x,Ada\n${two},,Bob,y\n`,
      0,
      [
        { line: 2, reason: "invalid_fields", field: "", rule: expect.stringContaining("column 2 has none") },
        { line: 3, reason: "invalid_fields", field: "", rule: expect.stringContaining("column 4 has none") },
      ],
    ],
    [
      "that takes more than 32 KiB",
      `phone,${Array.from({ length: 40 }, (_, i) => `c${i}`).join()}\n${one}${`,${"v".repeat(1_000)}`.repeat(40)}\n`,
      0,
      [
        {
          line: 2,
          phone: one,
          reason: "invalid_fields",
          field: "fields",
          rule: expect.stringContaining("32 KiB"),
        },
      ],
    ],
  ])("%s", async (_, file, acceptedCount, rejected) => {
    await using parts = await freshParts();
    const { answer } = await importFile(parts, file);
    expect(await answer).toMatchObject({ acceptedCount, rejectedCount: rejected.length, rejected });
  });
});

describe("a file is refused, with what would have worked:", () => {
  const form = `--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nphone\n${one}\r\n--x--`;
  test.each<[string, string | Uint8Array, string, Record<string, string>]>([
    ["with a quote that is not closed", "unclosed-quote.csv", "quote", { line: "62" }],
    ["without line ends", "newlines-stripped.csv", "--data-binary", {}],
    ["with two columns of one title", "duplicate-titles.csv", "named “Notes”", {}],
    ["with two columns phone", "phone,Phone\na,b\n", "named “Phone”", {}],
    ["with two that may be the phone", "mobile,telephone\na,b\n", "“mobile”, “telephone”", {}],
    ["with a title that is too long", "long-title.csv", "“What would you like to talk about", {}],
    ["without a column phone", "name,number\nAda,1\n", "it has “name”, “number”", {}],
    ["without titles", `${one},Ada\n${two},Bob\n`, "must name its columns", {}],
    ["of titles alone", "phone,name\n\n,\n", "no row below it", {}],
    ["with an unusual separator", "sep=:\nphone:name\n", "comma, semicolon, tab or bar", {}],
    ["that is compressed", gzipSync(`phone\n${one}\n`), "without compression", {}],
    ["that is a workbook", Buffer.from("504b0304140006000800", "hex"), "save the sheet as CSV", {}],
    ["that is an old workbook", Buffer.from("d0cf11e0a1b11ae1", "hex"), "save the sheet as CSV", {}],
    ["within a form", form, "--data-binary", {}],
    ["of JSON", `{"contacts": [{"phone": "${one}"}]}`, "AddContacts", {}],
  ])("%s", async (_, file, sentence, metadata) => {
    await using parts = await freshParts();
    const { job, answer } = await importFile(parts, file);
    expect(await refusal(answer)).toMatchObject({
      reason: "invalid_argument",
      message: expect.stringContaining(sentence),
      metadata: { field: "csv", ...metadata },
    });
    expect(await contactsOf(parts, job.id)).toEqual([]);
  });
});
