import { zipSync } from "fflate";
import { describe, expect, test } from "vitest";
import { isWorkbook } from "../../src/console/features/create/file/workbook/is-workbook.ts";
import { openWorkbook } from "../../src/console/features/create/file/workbook/workbook.ts";
import { type Cell, type Formats, type Sheet, makeWorkbook } from "./make-workbook.ts";

/** What a sheet shows: of each row its place and its values. */
async function read(bytes: Uint8Array, name?: string) {
  const workbook = await openWorkbook(new Blob([new Uint8Array(bytes)]));
  const sheet = workbook.read(name ?? workbook.sheets[0] ?? "");
  return { ...sheet, rows: sheet.rows.map(({ line, values }) => [line, ...values]) };
}

/** Has the directory of the archive say that its first sheet unpacks to so much. */
function claim(bytes: Buffer, size: number): Buffer {
  const entry = [...bytes.keys()].find(
    (at) =>
      bytes.readUInt32LE(Math.min(at, bytes.length - 4)) === 0x02014b50 &&
      bytes.subarray(at + 46, at + 46 + bytes.readUInt16LE(at + 28)).includes("sheet1"),
  );
  bytes.writeUInt32LE(size, (entry ?? Number.NaN) + 24);
  return bytes;
}

async function shown(cell: Cell, options: { formats?: Formats; is1904?: boolean } = {}): Promise<string> {
  const { rows } = await read(makeWorkbook({ S: { rows: [["x", cell]] } }, options));
  return String(rows[0]?.[2] ?? "");
}

describe("a number in a workbook", () => {
  test.each<[string | number, number, string]>([
    ["General", 491512345678, "491512345678"],
    ["General", 4.91512345678e11, "491512345678"],
    [0, 1e15, "1000000000000000"],
    [1, 14155550100, "14155550100"],
    [11, 14155550100, "14155550100"],
    [3, 14155550100, "14155550100"],
    [49, 14155550100, "14155550100"],
    [0, 0.1 + 0.2, "0.3"],
    [0, -12.5, "-12.5"],
    ["00000000000", 1512345678, "01512345678"],
    ["\\+0", 491512345678, "+491512345678"],
    ["(000) 000-0000", 4155550100, "(415) 555-0100"],
    ["[<=9999999]###-####;(###) ###-####", 4155550100, "(415) 555-0100"],
    [2, 1200, "1200.00"],
    [10, 0.125, "12.50%"],
    ['"€" #,##0.00', 1200.5, "€ 1,200.50"],
    [14, 46000, "2025-12-09"],
    [22, 46000.5, "2025-12-09 12:00"],
    ["dd/mm/yyyy", 46000, "09/12/2025"],
    [20, 0.75, "18:00"],
    ["[$-F800]dddd, mmmm dd, yyyy", 46000, "2025-12-09"],
    ["not a [format", 12, "12"],
  ])(
    "of the format %j is shown as people see it, and a phone's with all its digits: %d",
    async (format, value, text) => {
      expect(await shown([value, 1], { formats: [0, format] })).toBe(text);
    },
  );

  test("is a date of another beginning where the workbook says so", async () => {
    expect(await shown([46000 - 1462, 1], { formats: [0, "yyyy-mm-dd"], is1904: true })).toBe("2025-12-09");
  });
});

describe("a cell", () => {
  test.each<[string, string, string]>([
    [
      "of text with its parts",
      '<c t="inlineStr"><is><r><t>+49 </t></r><r><t>151</t></r></is></c>',
      "+49 151",
    ],
    [
      "with how it is pronounced",
      '<c t="inlineStr"><is><t>山田</t><rPh sb="0" eb="2"><t>ヤマダ</t></rPh></is></c>',
      "山田",
    ],
    ["with what a formula came to", '<c t="str"><f>A1&amp;B1</f><v>+49151</v></c>', "+49151"],
    ["with a number that a formula came to", "<c><f>1+1</f><v>2</v></c>", "2"],
    ["that is true", '<c t="b"><v>1</v></c>', "TRUE"],
    ["with an error", '<c t="e"><v>#N/A</v></c>', "#N/A"],
    ["with a date as text", '<c t="d"><v>2027-01-31</v></c>', "2027-01-31"],
    ["with characters as codes", '<c t="inlineStr"><is><t>a_x000D__x000A_b_x005F_</t></is></c>', "a\nb_"],
    ["with spaces around", '<c t="inlineStr"><is><t xml:space="preserve"> a </t></is></c>', "a"],
    ["that is empty", '<c s="0"/>', ""],
  ])("%s is as it is seen", async (_, xml, text) => {
    expect(await shown({ xml })).toBe(text);
  });

  test("with a formula that was never worked out is empty, and counted", async () => {
    const rows = [["phone"], [{ xml: "<c><f>1+1</f></c>" }, "x"], [{ xml: "<c><f>1+1</f><v/></c>" }, "y"]];
    expect(await read(makeWorkbook({ S: { rows } }))).toMatchObject({
      rows: [
        [1, "phone", ""],
        [2, "", "x"],
        [3, "", "y"],
      ],
      unknownResults: 2,
    });
  });
});

describe("a sheet", () => {
  test("has its rows by their places, as wide as the widest, without those that are empty", async () => {
    const rows = [["phone", "name", ""], [], ["+1", "", ""], ["", " ", ""], ["+2", "Ada", "x"]];
    expect((await read(makeWorkbook({ S: { rows } }))).rows).toEqual([
      [1, "phone", "name", ""],
      [3, "+1", "", ""],
      [5, "+2", "Ada", "x"],
    ]);
  });

  test("says which of its rows and columns nobody sees", async () => {
    const sheet: Sheet = {
      rows: [["phone", "secret"], ["+1", "a"], ["+2", "b"], []],
      hiddenRows: [2, 4],
      hiddenColumns: [1],
    };
    const { hiddenRows, hiddenColumns } = await read(makeWorkbook({ S: sheet }));
    expect([...hiddenRows]).toEqual([2]);
    expect([...hiddenColumns]).toEqual([1]);
  });

  test("has the value of a cell over several rows in each of them, and of one over columns once", async () => {
    const sheet: Sheet = {
      rows: [["phone", "city"], ["+1", "Köln"], ["+2"], ["+3"], ["+4", "Bonn", ""]],
      merged: ["B2:B4", "B5:C5", "A9:A12"],
    };
    expect((await read(makeWorkbook({ S: sheet }))).rows).toEqual([
      [1, "phone", "city"],
      [2, "+1", "Köln"],
      [3, "+2", "Köln"],
      [4, "+3", "Köln"],
      [5, "+4", "Bonn"],
    ]);
  });

  test("with too many columns is refused", async () => {
    const rows = [Array.from({ length: 501 }, () => "x")];
    await expect(read(makeWorkbook({ S: { rows } }))).rejects.toThrow("more than 500 columns");
  });
});

describe("a workbook", () => {
  test("offers the sheets that people see and that have cells, in their order", async () => {
    const one = { rows: [["phone"], ["+1"]] };
    const bytes = makeWorkbook({
      Notes: one,
      Empty: { rows: [] },
      Old: { ...one, state: "hidden" },
      Older: { ...one, state: "veryHidden" },
      "A & B": { rows: [["phone"], ["+2"]] },
    });
    const workbook = await openWorkbook(new Blob([new Uint8Array(bytes)]));
    expect(workbook.sheets).toEqual(["Notes", "A & B"]);
    expect(workbook.read("A & B").rows.at(-1)).toEqual({ line: 2, values: ["+2"] });
  });

  test("may have prefixes, and name its parts in other ways than it refers to them", async () => {
    const ns = 'xmlns:x="http://schemas.openxmlformats.org/spreadsheetml/2006/main"';
    const bytes = makeWorkbook(
      { S: { rows: [] } },
      {
        more: {
          "xl/worksheets/sheet1.xml": "",
          "XL\\Worksheets\\Sheet1.xml": `<x:worksheet ${ns}><x:sheetData><x:row><x:c t="inlineStr"><x:is><x:t>phone</x:t></x:is></x:c><x:c><x:v>7</x:v></x:c></x:row></x:sheetData></x:worksheet>`,
        },
      },
    );
    expect((await read(bytes)).rows).toEqual([[1, "phone", "7"]]);
  });

  test("without cells is refused as an empty file", async () => {
    await expect(read(makeWorkbook({ S: { rows: [] } }))).rejects.toThrow("The file is empty");
  });

  test.each([
    ["says that it is larger than anybody's, is refused", 600 * 1024 * 1024, "too large once it is unpacked"],
    ["says less than there is, is damaged", 20_000, "could not be read; perhaps it is damaged"],
  ])("whose sheet %s", async (_, claimed, words) => {
    const rows = Array.from({ length: 5_000 }, (_each, i) => [`+1${i}`, "Ada"]);
    const bytes = claim(makeWorkbook({ S: { rows } }), claimed);
    await expect(read(bytes)).rejects.toThrow(words);
  });

  test.each([
    ["of the old kind", Buffer.from("d0cf11e0a1b11ae1", "hex"), "one of the old kind (.xls)"],
    [
      "that is a zip archive of something else",
      Buffer.from(zipSync({ "a.txt": new Uint8Array(3) })),
      "no workbook of the kind .xlsx",
    ],
    [
      "that was cut off",
      makeWorkbook({ S: { rows: [["phone"]] } }).subarray(0, 300),
      "perhaps it is damaged",
    ],
    [
      "that has no XML in it",
      makeWorkbook(
        { S: { rows: [["phone"]] } },
        { more: { "xl/worksheets/sheet1.xml": "<worksheet><sheetData><row><c>" } },
      ),
      "perhaps it is damaged",
    ],
    [
      "whose XML has entities of its own",
      makeWorkbook(
        { S: { rows: [["phone"]] } },
        {
          more: {
            "xl/worksheets/sheet1.xml":
              '<!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet><sheetData><row><c t="inlineStr"><is><t>&a;</t></is></c></row></sheetData></worksheet>',
          },
        },
      ),
      "perhaps it is damaged",
    ],
  ])("%s is refused in words", async (_, bytes, words) => {
    expect(isWorkbook(bytes)).toBe(true);
    await expect(read(bytes)).rejects.toThrow(words);
  });
});
