import { type FileOptions, plainFile } from "../../src/files/contact-file.ts";

/** What becomes of a row: the line on which it begins, and the phone that is called or the reason why none is. */
export type Verdict = readonly [line: number, verdict: string];

export type RealFile = {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly options: FileOptions;
  /** Of every row, in order; or a part of the sentence with which the whole file is refused. */
  readonly verdicts: readonly Verdict[] | string;
};

const a = "+14155550100";
const b = "+14155550101";
const both: readonly Verdict[] = [
  [2, a],
  [3, b],
];
const bad = "invalid_phone_format";
const wrong = "invalid_fields";

function file(
  name: string,
  content: string | Uint8Array,
  verdicts: readonly Verdict[] | string,
  options: Partial<FileOptions> = {},
): RealFile {
  const bytes = typeof content === "string" ? Buffer.from(content) : content;
  return { name, bytes, verdicts, options: { ...plainFile, ...options } };
}

const latin = (text: string) => Buffer.from(text, "latin1");
const columns = (count: number, of: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => of(i)).join();

/** A file of one phone, as it is written in a region. */
const phone = (written: string, verdict: string, defaultRegion: string) =>
  file(
    `${JSON.stringify(written)} in ${defaultRegion || "no region"}`,
    `phone,name\n"${written.replaceAll('"', '""')}",Ada\n`,
    [[2, verdict]],
    { defaultRegion },
  );

export const realFiles: readonly RealFile[] = [
  file("plain", `phone,name\n${a},Ada\n${b},Bob\n`, both),
  file("with a byte order mark", `\uFEFFphone,name\n${a},Ada\n${b},Bob\n`, both),
  file(
    "in UTF-16 with a mark",
    Buffer.from(`\uFEFFphone\tname\r\n${a}\tJosé\r\n${b}\tŁukasz\r\n`, "utf16le"),
    both,
  ),
  file("in UTF-16 without a mark", Buffer.from(`phone,name\n${a},Łukasz\n${b},Bob`, "utf16le"), both),
  file(
    "in UTF-16 of the other order",
    Buffer.from(`\uFEFFphone|name\n${a}|Ł\n${b}|Bob`, "utf16le").swap16(),
    both,
  ),
  file("in Windows-1252", latin(`phone,name\r\n${a},Jos\xE9\r\n${b},10 \x96 20\r\n`), both),
  file("in Windows-1252 that says so", latin(`phone,name\n${a},Jos\xE9\n${b},B\n`), both, {
    encoding: "windows-1252",
  }),
  file(
    "in Windows-1252 that is said to be UTF-8",
    latin(`phone,name\n${a},Jos\xE9\n`),
    "is not UTF-8: line 2",
    { encoding: "utf-8" },
  ),
  file(
    "in UTF-8 with one wrong byte",
    Buffer.concat([Buffer.from(`phone,name\n${a},Jürgen Müller\n${b},B`), latin("\xE9\n")]),
    "is not UTF-8: line 3",
  ),
  file("in an encoding that is not read", "phone\n1\n", "encoding must be", { encoding: "shift_jis" }),
  file("with semicolons", `phone;name\n${a};"Lovelace, Ada"\n${b};Bob\n`, both),
  file("with tabs", `phone\tname\n${a}\tAda\n${b}\tBob\n`, both),
  file("with bars", `phone|name\n${a}|Ada\n${b}|Bob\n`, both),
  file("with a separator that is given", `phone;name\n${a};Ada\n${b};Bob\n`, both, {
    delimiter: "semicolon",
  }),
  file("with a separator that is given and wrong", `phone;name\n${a};Ada\n`, "it has “phone;name”", {
    delimiter: "comma",
  }),
  file("with a separator that nobody writes", `phone:name\n${a}:Ada\n`, "delimiter must be", {
    delimiter: ":",
  }),
  file("with a line that tells its separator", `sep=;\r\nphone;name\r\n${a};Ada\r\n`, [[3, a]]),
  file("with a line that tells another one", `sep=:\nphone:name\n${a}:Ada\n`, "comma, semicolon, tab or bar"),
  file("with CRLF", `phone,name\r\n${a},Ada\r\n${b},Bob\r\n`, both),
  file("with CR", `phone,name\r${a},Ada\r${b},Bob\r`, both),
  file("with mixed line ends", `phone,name\r\n${a},Ada\n${b},Bob\r`, both),
  file("without a last line end", `phone,name\n${a},Ada\n${b},Bob`, both),
  file("without any line end", `phone,name${a},Ada${b},Bob`, "line ends were lost"),
  file("with empty lines", `\n\nphone,name\n\n${a},Ada\n\n\n12345,Bad\n`, [
    [5, a],
    [8, bad],
  ]),
  file("with lines of commas", `phone,name\n${a},Ada\n,\n,\n12345,Bad\n`, [
    [2, a],
    [5, bad],
  ]),
  file("with quotes", `"phone","name"\n"${a}","Ada ""the"" L."\n"${b}","B"\n`, both),
  file(
    "with a quote that is not closed",
    `phone,name\n${a},Ada\n${b},"Bob\n`,
    "The quotes in the record of line 3",
  ),
  file("with a line end within quotes", `phone,notes\r\n${a},"Suite 4\r\nMain St"\r\n${b},ok\r\n`, [
    [2, a],
    [4, b],
  ]),
  file("with a tab within quotes", `phone,notes\n${a},"a\tb"\n${b},ok\n`, both),
  file("with a line end in a name", `phone,name\n${a},"Ada\nL"\n${b},Bob\n`, [
    [2, wrong],
    [4, b],
  ]),
  file("with spaces after its commas", `phone, name\n${a}, Ada\n${b}, Bob\n`, both),
  file("with a bell in a value", `phone,notes\n${a},a\u0007b\n${b},ok\n`, [
    [2, wrong],
    [3, b],
  ]),
  file("with formulas of a spreadsheet", `phone,name\n"=""${a}""",Ada\n'${b},Bob\n`, both),
  file("with a formula as a name", `phone,name\n${a},=1+1\n${b},@x\n`, both),
  file("with titles in capitals", `PHONE,NAME\n${a},Ada\n${b},Bob\n`, both),
  file("with spaces around its titles", ` Phone , Name \n${a},Ada\n${b},Bob\n`, both),
  file("with a phone number's title", `Phone Number,First Name\n${a},Ada\n${b},Bob\n`, both),
  file("with a German title", `Name;Telefon-Nr.\nAda;${a}\nBob;${b}\n`, both),
  file("with a title that is given", `who,line 1\nAda,${a}\nBob,${b}\n`, both, { phoneColumn: "Line 1" }),
  file("with a title that is given and missing", `phone\n${a}\n`, "must be “x”, as phone_column says", {
    phoneColumn: "x",
  }),
  file("with two titles of phones", `mobile,telephone\n${a},${b}\n`, "may both hold the phone number"),
  file("with two titles alike", `phone,Notes,Notes\n${a},x,y\n`, "are named “Notes”"),
  file("without titles", `${a},Ada\n${b},Bob\n`, "must name its columns"),
  file("of titles alone", "phone,name\n", "no row below it"),
  file("that is empty", "", "The file is empty"),
  file("with a title too long", `phone,${"x".repeat(65)}\n${a},x\n`, "must have 1 to 64 characters"),
  file("with columns without titles", `phone,name,,\n${a},Ada,,\n${b},Bob,,\n`, both),
  file("with values without titles", `phone,,name\n${a},x,Ada\n${b},,Bob\n`, [
    [2, wrong],
    [3, b],
  ]),
  file("with commas at the ends of rows", `phone,name\n${a},Ada,\n${b},Bob,\n`, both),
  file("with ragged rows", `phone,name,plan\n${a},Ada\n${b},Bob,pro\n+14155550102,Cy,pro,x\n`, [
    [2, wrong],
    [3, b],
    [4, wrong],
  ]),
  file("of 50 fields", `phone,${columns(50, (i) => `c${i}`)}\n${a},${columns(50, String)}\n`, [[2, a]]),
  file(
    "of 60 columns",
    `phone,${columns(59, (i) => `c${i}`)}\n${a},${columns(59, String)}\n`,
    "at most 50 become fields",
  ),
  file("with a column __proto__", `phone,__proto__,constructor\n${a},x,y\n${b},,\n`, both),
  file("with a phone twice", `phone\n${a}\n+1 415 555 0100\n${b}\n`, [
    [2, a],
    [3, "duplicate_phone"],
    [4, b],
  ]),
  file(
    "with a phone twice, once as it is written there",
    `phone\n${a}\n(415) 555-0100\n`,
    [
      [2, a],
      [3, "duplicate_phone"],
    ],
    { defaultRegion: "US" },
  ),
  file("with a region in small letters", "phone\n(415) 555-0100\n", [[2, a]], { defaultRegion: "us" }),
  file("with a region that is none", `phone\n${a}\n`, "default_region must be", { defaultRegion: "XX" }),
  file("of JSON", `[{"phone":"${a}"}]`, "The body is JSON"),
  file("that is a workbook", Buffer.from("504b0304140006000800", "hex"), "save the sheet as CSV"),
  phone("+1 415-555-0100", a, ""),
  phone("(415) 555-0100", bad, ""),
  phone("(415) 555-0100", a, "US"),
  phone("1 415 555 0100", a, "US"),
  phone("\u202A+1\u00A0415\u2011555\u20110100\u202C", a, ""),
  phone("415\u00A0555\u200B0100", a, "US"),
  phone("\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660", a, "US"),
  phone("\uFF0B\uFF11\uFF14\uFF11\uFF15\uFF15\uFF15\uFF15\uFF10\uFF11\uFF10\uFF10", a, "US"),
  phone("tel:+1-415-555-0100", a, "US"),
  phone("415-555-0100 x12", "extension_not_supported", "US"),
  phone("415-555-0100 ext. 12", "extension_not_supported", "US"),
  phone("tel:+1-415-555-0100;ext=12", "extension_not_supported", "US"),
  phone("1.41555E+10", bad, "US"),
  phone("4155550100.0", bad, "US"),
  phone("+14155550100.0", bad, ""),
  phone("1-800-FLOWERS", bad, "US"),
  phone("555-0100", bad, "US"),
  phone("911", bad, "US"),
  phone("415-555-0100 or 415-555-0101", bad, "US"),
  phone("011 44 20 7183 8750", "+442071838750", "US"),
  phone("+44 (0)20 7183 8750", bad, ""),
  phone("+44 (0)20 7183 8750", "+442071838750", "GB"),
  phone("0151 23456789", "+4915123456789", "DE"),
  phone("00 49 151 23456789", "+4915123456789", "DE"),
  phone("12345", bad, "DE"),
  phone("06 698 12345", "+390669812345", "IT"),
];
