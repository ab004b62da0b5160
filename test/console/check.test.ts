import { describe, expect, test } from "vitest";
import { type Check, checkRows } from "../../src/console/features/create/file/check.ts";
import {
  type FileRow,
  chosenColumns,
  hasTitleRow,
  joinNames,
  layOut,
  rowsAbove,
} from "../../src/console/features/create/file/columns.ts";
import { contactWriter, rejectedCsv } from "../../src/console/features/create/file/write.ts";
import { createContactFile, plainFile } from "../../src/files/contact-file.ts";
import type { ReadAs } from "../../src/files/titles.ts";

const rowsOf = (...all: readonly (readonly string[])[]): FileRow[] =>
  all.map((values, i) => ({ line: i + 1, values }));

const some = ["x", "+15551000000", "3"];

const rolesOf = (columns: readonly ReadAs[]) => columns.map(({ role, key }) => `${role} ${key}`);

/** A file as it is read by itself, or as its columns are chosen. */
function judge(all: readonly FileRow[], given: { region?: string; columns?: readonly ReadAs[] } = {}) {
  const { table, rows } = layOut(all, { hasTitles: hasTitleRow(all) });
  const columns = chosenColumns(table, given.columns ?? table.columns);
  return { ...checkRows(rows, columns, given.region ?? ""), rows, columns, table };
}

test("a heading above the titles is found, and nothing that may be a contact is taken for one", () => {
  const titles = ["Name", "Mobile number"];
  const contact = ["Ada", "+15551000000"];
  expect(rowsAbove(rowsOf(["Spring campaign"], ["", "made in May"], titles, contact))).toBe(2);
  expect(rowsAbove(rowsOf(titles, contact))).toBe(0);
  expect(rowsAbove(rowsOf(["Bob", "+15551000001"], titles, contact))).toBe(0);
  expect(rowsAbove(rowsOf(["+15551000001"], ["+15551000002"], ["phone"]))).toBe(0);
  expect(rowsAbove([])).toBe(0);
});

describe("the columns of a file", () => {
  test.each([
    [
      ["Phone", "Name"],
      ["phone Phone", "name Name", "empty "],
    ],
    [
      ["Name", "City", "phone_number"],
      ["name Name", "field City", "phone phone_number"],
    ],
    [
      ["a", "b", "c"],
      ["field a", "phone b", "field c"],
    ],
    [
      ["", "tel", "TimeZone"],
      ["empty ", "phone tel", "timezone TimeZone"],
    ],
    [
      ["a", "Telefon mobil (privat)", "Due"],
      ["field a", "phone Telefon mobil (privat)", "field Due"],
    ],
    // Which of two it is has somebody to say.
    [
      ["mobile", "telephone"],
      ["field mobile", "field telephone", "empty "],
    ],
  ])("are found by their titles, or by what is in them: %j", (titles, roles) => {
    expect(rolesOf(layOut(rowsOf(titles, some), { hasTitles: true }).table.columns)).toEqual(roles);
  });

  test.each([
    [
      ["+15551000000", "Ada"],
      ["phone column 1", "field column 2"],
    ],
    [
      ["Ada", "0151 2345678"],
      ["field column 1", "phone column 2"],
    ],
  ])("have numbers where the first row is one of a contact: %j", (first, roles) => {
    const all = rowsOf(first);
    expect(hasTitleRow(all)).toBe(false);
    const { table } = layOut(all, { hasTitles: false });
    expect(rolesOf(table.columns)).toEqual(roles);
    expect(table).toMatchObject({ rowCount: 1, titles: [], samples: first.map((value) => [value]) });
  });

  test.each([
    ["a date", ["01.02.2027", "0151/23450000"], 1],
    ["a date and the time of day", ["2027-02-01 10:00", "0151 - 23450000"], 1],
    ["a customer's number, which may be a phone's", ["10000000", "015123450000"], undefined],
  ])("are not taken for those of phones by %s", (_, values, phone) => {
    const all = rowsOf(["a", "b"], values, values);
    const { columns } = layOut(all, { hasTitles: true }).table;
    expect(columns.findIndex(({ role }) => role === "phone")).toBe(phone ?? -1);
  });

  test("are left out where nobody sees them, but for those that are needed", () => {
    const all = rowsOf(["phone", "name", "notes", "plan"], ["+15551000000", "Ada", "x", "y"]);
    const { table } = layOut(all, { hasTitles: true, hidden: new Set([0, 2]) });
    expect(table.columns.map(({ role }) => role)).toEqual(["phone", "name", "none", "field"]);
  });

  test.each<[string, readonly ReadAs[], string]>([
    [
      "without one of phones",
      [{ role: "field", key: "a" }],
      "do not say which of them holds the phone numbers",
    ],
    [
      "with two of one name",
      [
        { role: "phone", key: "p" },
        { role: "field", key: "a" },
        { role: "field", key: "a" },
      ],
      "Two columns of the file are named “a”",
    ],
    [
      "with one that has no name",
      [
        { role: "phone", key: "p" },
        { role: "field", key: "" },
      ],
      "must have 1 to 64 characters",
    ],
  ])("are refused %s", (_, columns, sentence) => {
    const { table } = layOut(rowsOf(["a", "b", "c"], some), { hasTitles: true });
    expect(() => chosenColumns(table, columns)).toThrow(sentence);
  });
});

test("a row becomes a contact, with a field for every other column that has a title", () => {
  const all = rowsOf(["tel", "name", "plan", "__proto__"], ["(415) 555-0100", "Ada", "", "x"]);
  const { accepted, take } = judge(all, { region: "US" });
  expect(accepted.map(take)).toEqual([
    { phone: "+14155550100", name: "Ada", fields: JSON.parse('{"plan":"","__proto__":"x"}') },
  ]);
});

test("columns are read as it was chosen, whatever is in those that are left out", () => {
  const all = rowsOf(
    ["a", "b", "", "c"],
    ["x\u0007", "+15551000000", "1", "Ada"],
    ["y", "+15551000001", "2", "Bob"],
  );
  const columns: readonly ReadAs[] = [
    { role: "none", key: "a" },
    { role: "phone", key: "b" },
    { role: "field", key: "size" },
    { role: "name", key: "c" },
  ];
  const { check, accepted, take } = judge(all, { columns });
  expect(accepted.map(take)).toEqual([
    { phone: "+15551000000", name: "Ada", fields: { size: "1" } },
    { phone: "+15551000001", name: "Bob", fields: { size: "2" } },
  ]);
  expect(check.first).toMatchObject([{ line: 2, contact: { name: "Ada" } }, { line: 3 }]);
});

test("what is written of the accepted rows is read by the service as what they are", () => {
  const all = rowsOf(
    ["phone", "name", "timezone", "phone ", "=x"],
    ["+15551000000", "Ada", "asia/tokyo", "a", "'"],
    ["+15551000001", "", "", "=1", ""],
  );
  const columns = layOut(all, { hasTitles: true }).table.columns.map((column, at): ReadAs =>
    at === 3 ? { role: "field", key: "phone" } : at === 0 ? { role: "phone", key: "phone" } : column,
  );
  const { accepted, take, columns: read } = judge(all, { columns });
  const contacts = accepted.map(take);
  expect(contacts).toMatchObject([{ timezone: "Asia/Tokyo" }, { fields: { phone: "=1" } }]);
  const { titles, rows } = contactWriter(read);
  const file = createContactFile(plainFile);
  const back = [...file.read(Buffer.from(titles() + rows(contacts))), ...file.end()];
  expect(
    back.map((row) => ("flaw" in row ? row : { ...row.contact, fields: JSON.parse(row.contact.fields) })),
  ).toEqual(contacts);
});

test("rows that are not sent are written as they are, to be mended and read again", () => {
  const all = rowsOf(["phone", "Notes"], ["+15551000000", "kept"], ["0151", "=run, me"], ["+1", 'say "so"']);
  const { rejected, rows, columns, table } = judge(all);
  const csv = rejectedCsv(
    table.titles,
    columns,
    rejected.flatMap(({ place, flaw }) => {
      const row = rows[place];
      return row === undefined ? [] : [{ row, flaw }];
    }),
  );
  const mended = csv.replace(",0151,", ",+15551000151,");
  const file = createContactFile(plainFile);
  const [first, second, ...others] = [...file.read(Buffer.from(mended)), ...file.end()];
  expect(first).toMatchObject({
    contact: { phone: "+15551000151", fields: JSON.stringify({ Notes: "=run, me" }) },
  });
  expect(second).toMatchObject({ phone: "+1", flaw: { reason: "invalid_phone_format" } });
  expect(others).toEqual([]);
  // It says which row it was, and why.
  expect(csv).toContain('\n3,invalid_phone_format,"phone must be E.164');
});

test("of many bad rows all are counted and the first 100 are kept", () => {
  const all = rowsOf(["phone"], ...Array.from({ length: 250 }, (_, i) => [String(i)]));
  const { check }: { check: Check } = judge(all);
  expect(check.counts.invalid_phone_format).toBe(250);
  expect(check.bad.map(({ line }) => line)).toEqual(Array.from({ length: 100 }, (_, i) => i + 2));
});

test("a column of time zones says where contacts are, and is no field", () => {
  const all = rowsOf(
    ["phone", "TimeZone", "city"],
    ["+15551000000", "asia/tokyo", "Tokyo"],
    ["+15551000001", "", ""],
    ["+15551000002", "Mars/Olympus", ""],
  );
  const { check, accepted, take } = judge(all);
  expect(accepted).toEqual([0, 1]);
  expect(check.bad).toMatchObject([{ line: 4, phone: "+15551000002", reason: "invalid_timezone" }]);
  expect(take(0)).toEqual({
    phone: "+15551000000",
    name: "",
    fields: { city: "Tokyo" },
    timezone: "Asia/Tokyo",
  });
});

test("a name in several columns is joined in their order, and rows with too few values stay as they are", () => {
  const columns = [
    { role: "name", key: "First" },
    { role: "phone", key: "Phone" },
    { role: "name", key: "Last" },
  ] as const;
  const rows = rowsOf(
    ["Ada", "+15551000000", "Lovelace"],
    ["", "+15551000001", "Byron"],
    ["'=Cy", "+15551000002", " "],
    ["Di", "+15551000003"],
    [],
  );
  const joined = joinNames(rows, columns);
  expect(joined.rows.map(({ values }) => values[0])).toEqual([
    "Ada Lovelace",
    "Byron",
    "'=Cy",
    "Di",
    undefined,
  ]);
  expect(joined.rows.map(({ values }) => values.length)).toEqual(rows.map(({ values }) => values.length));
  expect(joined.columns.map(({ role }) => role)).toEqual(["name", "phone", "none"]);
  const one = [columns[0], columns[1]];
  expect(joinNames(rows, one)).toEqual({ rows, columns: one });
});
