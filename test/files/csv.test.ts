import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createCsvReader } from "../../src/files/csv.ts";
import { refusal } from "../support/refusal.ts";

/** What the reader makes of a file that comes in pieces of these sizes, and then in one. */
function read(file: string | Uint8Array, sizes: readonly number[] = []) {
  const bytes = Buffer.from(file);
  const reader = createCsvReader();
  let at = 0;
  const records = sizes.flatMap((size) => reader.read(bytes.subarray(at, (at += size))));
  return [...records, ...reader.read(bytes.subarray(at)), ...reader.end()];
}

const quote = (text: string) => `"${text.replaceAll('"', '""')}"`;

const values = (file: string) => read(file).map((record) => record.values);

describe("records", () => {
  test.each([
    [
      "end with LF",
      "a,b\nc,d\n",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "end with CRLF",
      "a,b\r\nc,d\r\n",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "need no line end at the end of the file",
      "a,b\nc,d",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["may follow a byte order mark", "\uFEFFa,b\n", [["a", "b"]]],
    ["may have empty values", ",\n,x\n", [["", "x"]]],
    [
      "may be quoted",
      '"a","b"\n"c","d"',
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["may have commas in quotes", '"a,b",c\n', [["a,b", "c"]]],
    ["may have quotes in quotes", '"a""b",""""\n', [['a"b', '"']]],
    [
      "may have line ends in quotes",
      '"a\nb",c\r\nd,e',
      [
        ["a\nb", "c"],
        ["d", "e"],
      ],
    ],
    ["keep quotes in the middle of a value", 'a"b",c\n', [['a"b"', "c"]]],
    [
      "keep no spaces around values",
      " a , b \nc ,\n",
      [
        ["a", "b"],
        ["c", ""],
      ],
    ],
    [
      "keep spaces within quotes",
      '" a ", b\n" ""c ,"," "\n',
      [
        [" a ", "b"],
        [' "c ,', " "],
      ],
    ],
    ["keep line ends and spaces within quotes", '" a\r\n ", b \n', [[" a\n ", "b"]]],
    [
      "are not made of commas alone",
      "a,b\n,\n , \nc,d\n,",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    [
      "end with CR",
      "a,b\rc,d\r",
      [
        ["a", "b"],
        ["c", "d"],
      ],
    ],
    ["end in several ways", "a\r\nb\nc\rd\r\n", [["a"], ["b"], ["c"], ["d"]]],
    [
      "may be separated by semicolons",
      "phone;name\na,b;c\n",
      [
        ["phone", "name"],
        ["a,b", "c"],
      ],
    ],
    [
      "may be separated by tabs",
      "phone\tname\na,b\tc\n",
      [
        ["phone", "name"],
        ["a,b", "c"],
      ],
    ],
    [
      "may be separated by bars",
      "\n\nphone|name\na,b|c\n",
      [
        ["phone", "name"],
        ["a,b", "c"],
      ],
    ],
    ["may have a line that tells the separator", "sep=;\r\na;b\r\n", [["a", "b"]]],
    [
      "may have semicolons in titles",
      '"phone; mobile",phone\na,b\n',
      [
        ["phone; mobile", "phone"],
        ["a", "b"],
      ],
    ],
    ["may differ in length", "a\nb,c\n", [["a"], ["b", "c"]]],
    ["are not made of empty lines", "a\n\n\r\nb\n\n", [["a"], ["b"]]],
    ["may have any letters", "\u{1F469}\u{1F3FD},\u05E9\n", [["\u{1F469}\u{1F3FD}", "\u05E9"]]],
  ])("%s", (_, file, expected) => {
    expect(values(file)).toEqual(expected);
  });

  test("tell the line on which they begin", () => {
    const lines = read('a\r\n\n"b\nc\n"\nd\n\n\ne').map(({ line }) => line);
    expect(lines).toEqual([1, 3, 6, 9]);
    expect(read('a\n"b\nc"\nd').map(({ line }) => line)).toEqual([1, 2, 4]);
    expect(read('sep=,\n\na,"b\nc"\n\nd,').map(({ line }) => line)).toEqual([3, 6]);
  });

  test("are the same however the file is cut", () => {
    const value = fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r\n", "\u{1F600}", "é", " ") });
    const record = fc.array(value, { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(record),
        fc.constantFrom("\n", "\r\n"),
        fc.array(fc.integer({ min: 0, max: 7 }), { maxLength: 60 }),
        (records, lineEnd, sizes) => {
          const file = records.map((each) => each.map(quote).join(",")).join(lineEnd);
          const cut = read(file, sizes);
          expect(cut).toEqual(read(file));
          const expected = records
            .map((each) => each.map((text) => text.replaceAll("\r\n", "\n")))
            .filter((each) => each.some((text) => text !== ""));
          expect(cut.map((each) => each.values)).toEqual(expected);
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe("what is not CSV is refused", () => {
  test.each([
    ["a quote that is not closed", 'a,b\nc,"d\ne,f\n', "2"],
    ["text after a closing quote", 'a,b\nc,d\n"e"f,g\n', "3"],
    ["a quote that is not closed at the end", 'a,"', "1"],
  ])("%s", async (_, file, line) => {
    expect(await refusal(() => read(file))).toMatchObject({
      reason: "invalid_argument",
      metadata: { field: "csv", line },
    });
  });

  test("bytes that are not UTF-8", async () => {
    const latin1 = Buffer.concat([
      Buffer.from("a,b\nJürgen,Müller\n"),
      Buffer.from("Jos\u00E9,c\n", "latin1"),
    ]);
    expect(await refusal(() => read(latin1))).toMatchObject({ message: expect.stringContaining("UTF-8") });
  });

  test("a letter that is cut off at the end of the file", async () => {
    expect(await refusal(() => read(Buffer.from("a,\u00E9").subarray(0, -1)))).toMatchObject({
      message: expect.stringContaining("UTF-8"),
    });
  });

  test("a record without an end, before all of it is kept", async () => {
    const reader = createCsvReader();
    const piece = Buffer.from("x".repeat(64 * 1024));
    reader.read(Buffer.from('a\n"'));
    const readOn = () => {
      for (let pieces = 0; pieces < 10; pieces += 1) reader.read(piece);
    };
    expect(await refusal(readOn)).toMatchObject({ metadata: { field: "csv", line: "2" } });
  });
});
