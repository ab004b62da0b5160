import { badFile } from "./bad-file.ts";

/** How many bytes tell what a file is. */
export const telling = 512;

/** Files that are often sent instead of CSV, by how they begin, and what would work. */
const others: readonly (readonly [begins: string | RegExp, sentence: string])[] = [
  ["\u001F\u008B", "The body is compressed with gzip; send the file as it is, without compression."],
  ["PK\u0003\u0004", "The file is a workbook or a zip archive; save the sheet as CSV and send that."],
  ["\u00D0\u00CF\u0011\u00E0", "The file is an old workbook; save the sheet as CSV and send that."],
  ["%PDF-", "The file is a PDF; send the contacts as CSV."],
  [
    /^--[^\r\n]{1,200}\r?\ncontent-disposition: *form-data/i,
    "The body is a form with a file in it; send the file itself as the body (curl: --data-binary @FILE).",
  ],
  [
    /^\s*(?:\{\s*"|\[\s*[{[])/,
    "The body is JSON; send the contacts as CSV, or as JSON with the RPC AddContacts.",
  ],
];

/** Refuses a file that is something else than text, or another kind of text, and says what would have worked. */
export function refuseOtherKinds(start: Uint8Array): void {
  const text = String.fromCharCode(...start.subarray(0, telling));
  const other = others.find(([begins]) =>
    typeof begins === "string" ? text.startsWith(begins) : begins.test(text),
  );
  if (other !== undefined) throw badFile(other[1]);
}

/**
 * The encoding of a file that begins like this: UTF-16 if it says so, or has an ASCII letter in each of its first
 * units.
 */
export function encodingOf(start: Uint8Array): "utf-8" | "utf-16le" | "utf-16be" {
  const [a, b, c, d] = start;
  if (a === 0xff && b === 0xfe) return "utf-16le";
  if (a === 0xfe && b === 0xff) return "utf-16be";
  if (b === 0 && d === 0 && a !== 0 && c !== 0) return "utf-16le";
  if (a === 0 && c === 0 && b !== 0 && d !== 0) return "utf-16be";
  return "utf-8";
}
