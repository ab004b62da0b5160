import Papa from "papaparse";
import { BatchJobError } from "../domain/batch-job-error.ts";
import { badFile } from "./bad-file.ts";
import { hasPhoneTitle } from "./titles.ts";

const separators = [",", ";", "\t", "|"] as const;

const names: Readonly<Record<string, string>> = { comma: ",", semicolon: ";", tab: "\t", bar: "|" };

/** The separator of this name, or that is given itself; undefined if it is to be found out. */
export function separatorOf(given: string): string | undefined {
  if (given === "") return undefined;
  const separator = Object.hasOwn(names, given) ? names[given] : separators.find((each) => each === given);
  if (separator !== undefined) return separator;
  throw new BatchJobError(
    "invalid_argument",
    "delimiter must be comma, semicolon, tab or bar, or not be given.",
    { field: "delimiter" },
  );
}

/** The line with which spreadsheets are told the separator. */
const separatorLine = /^sep=(.*)$/i;

/** The values of one record. */
const valuesOf = (record: string, separator: string): readonly string[] =>
  new Papa.Parser({ delimiter: separator, newline: "\n", quoteChar: '"' }).parse(record, 0, false).data[0] ??
  [];

/**
 * The separator of a file that begins with this text, and how much of it is not a record; undefined if more of it must
 * come first. It is what is given, or what the file says, or what makes the phone's title of one of the first line's
 * values, or else a comma.
 */
export function findSeparator(
  text: string,
  given: { readonly separator: string | undefined; readonly phoneColumn: string },
  { isLast }: { isLast: boolean },
): { separator: string; skipped: number } | undefined {
  const skipped = text.search(/[^\n]/);
  if (skipped === -1) return isLast ? { separator: ",", skipped: 0 } : undefined;
  const end = recordEnd(text, skipped);
  if (end === -1 && !isLast) return undefined;
  const first = text.slice(skipped, end === -1 ? text.length : end);
  const [, said] = separatorLine.exec(first) ?? [];
  if (said !== undefined) {
    const separator = separators.find((each) => each === said);
    if (given.separator !== undefined) return { separator: given.separator, skipped: skipped + first.length };
    if (separator !== undefined) return { separator, skipped: skipped + first.length };
    throw badFile(
      "The file's first line is sep= with another separator than comma, semicolon, tab or bar; use one of them.",
    );
  }
  const isTitled = (each: string) => hasPhoneTitle(valuesOf(first, each), given.phoneColumn);
  const separator = given.separator ?? separators.find(isTitled) ?? ",";
  return { separator, skipped };
}

/** Where the record that begins here ends; -1 if that is not in the text. */
function recordEnd(text: string, from: number): number {
  let isInQuotes = false;
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '"') isInQuotes = !isInQuotes;
    else if (text[at] === "\n" && !isInQuotes) return at;
  }
  return -1;
}
