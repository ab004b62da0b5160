import Papa from "papaparse";
import { badFile } from "./bad-file.ts";
import { hasPhoneTitle } from "./titles.ts";

const separators = [",", ";", "\t", "|"] as const;

/** The line with which spreadsheets are told the separator. */
const separatorLine = /^sep=(.*)$/i;

/** The values of one record. */
const valuesOf = (record: string, separator: string): readonly string[] =>
  new Papa.Parser({ delimiter: separator, newline: "\n", quoteChar: '"' }).parse(record, 0, false).data[0] ??
  [];

/**
 * The separator of a file that begins with this text, and how much of it is not a record; undefined if more of it must
 * come first. It is what the file says, or what makes a title of one of the first line's values, or else a comma.
 */
export function findSeparator(
  text: string,
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
    if (separator !== undefined) return { separator, skipped: skipped + first.length };
    throw badFile(
      "The file's first line is sep= with another separator than comma, semicolon, tab or bar; use one of them.",
    );
  }
  const separator = separators.find((each) => hasPhoneTitle(valuesOf(first, each))) ?? ",";
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
