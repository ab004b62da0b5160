import Papa from "papaparse";
import { badFile } from "./bad-file.ts";
import { createTextReader } from "./encoding.ts";
import { findSeparator, separatorOf } from "./separator.ts";

/** One record of a file, and the line on which it begins, from 1. */
export type CsvRecord = { readonly line: number; readonly values: readonly string[] };

/** A record that is longer is not one: somewhere before its end a quote was not closed. In UTF-16 units. */
const largestRecord = 256 * 1024;

/** Nothing is said of the file. */
const foundOut = { encoding: "", delimiter: "", phoneColumn: "" };

type Parsed = { data: string[][]; errors: { row: number }[]; meta: { cursor: number } };

type Format = { readonly separator: string; readonly parser: { parse(...given: unknown[]): Parsed } };

/**
 * Reads CSV (RFC 4180; UTF-8, UTF-16 or Windows-1252, and any of four separators, which it finds out unless they are
 * given; lines that end with CRLF, LF or CR) piece by piece. Empty lines, and rows of nothing but separators, are no
 * records; spaces around values that are not quoted are left out. Each piece should be some 10 kB: what is left of a
 * record is read again with the next one.
 */
export function createCsvReader(
  given: { readonly encoding: string; readonly delimiter: string; readonly phoneColumn: string } = foundOut,
) {
  const reader = createTextReader(given.encoding);
  const hints = { separator: separatorOf(given.delimiter), phoneColumn: given.phoneColumn };
  let format: Format | undefined;
  let rest = "";
  let line = 1;

  const decode = (bytes: Uint8Array, { isLast }: { isLast: boolean }): string =>
    reader.decode(bytes, { isLast, linesBefore: () => line + newlinesIn(rest) });

  function readFormat(text: string, some: { isLast: boolean }): string {
    const found = findSeparator(text, hints, some);
    if (found === undefined) return text;
    const { separator, skipped } = found;
    format = { separator, parser: new Papa.Parser({ delimiter: separator, newline: "\n", quoteChar: '"' }) };
    line += newlinesIn(text.slice(0, skipped));
    return text.slice(skipped);
  }

  function checkLength(): void {
    if (rest.length <= largestRecord) return;
    throw badFile(
      `The record of line ${line} does not end within ${largestRecord} characters; perhaps a quote is not closed.`,
      { line: String(line) },
    );
  }

  function read(text: string, { isLast }: { isLast: boolean }): CsvRecord[] {
    // Half of a CRLF is left for the next piece.
    const end = !isLast && text.endsWith("\r") ? text.length - 1 : text.length;
    let whole = text.slice(0, end).replaceAll("\r\n", "\n");
    if (whole.includes("\r")) whole = whole.replaceAll("\r", "\n");
    if (format === undefined) whole = readFormat(whole, { isLast });
    if (format === undefined) {
      rest = whole + text.slice(end);
      checkLength();
      return [];
    }
    const { data, errors, meta } = format.parser.parse(whole, 0, !isLast);
    const parsed = whole.slice(0, meta.cursor);
    const records: CsvRecord[] = [];
    const begins = linesOf(data, parsed, line);
    const wrong = errors.find(({ row }) => row < data.length || isLast);
    if (wrong !== undefined) {
      const at = begins(wrong.row);
      throw badFile(
        `The quotes in the record of line ${at} do not match; write a quote inside of quotes twice.`,
        { line: String(at) },
      );
    }
    if (isPadded(data)) trim(data, parsed, format.separator);
    for (const [i, values] of data.entries()) {
      if (values[0] !== "" || values.some((value) => value !== "")) records.push({ line: begins(i), values });
    }
    line = begins(data.length);
    rest = whole.slice(meta.cursor) + text.slice(end);
    checkLength();
    return records;
  }

  return {
    /** The records that end in or before this piece. */
    read: (bytes: Uint8Array): CsvRecord[] =>
      read(rest + decode(bytes, { isLast: false }), { isLast: false }),
    /** The last record, if the file does not end with a line end. */
    end: (): CsvRecord[] => read(rest + decode(new Uint8Array(), { isLast: true }), { isLast: true }),
  };
}

/** Tells on which line the record at a place begins, where the first one begins on `first`. */
function linesOf(data: readonly string[][], text: string, first: number): (place: number) => number {
  // The last record of a file may lack its line end, or be what comes after the last line end: nothing.
  const isLastEnded = text.endsWith("\n") && data.at(-1)?.join("") !== "";
  const inValues = newlinesIn(text) - (isLastEnded ? data.length : data.length - 1);
  if (inValues <= 0) return (place) => first + place;
  const lines = [first];
  for (const values of data) {
    const before = lines.at(-1) ?? first;
    lines.push(values.reduce((sum, value) => sum + newlinesIn(value), before + 1));
  }
  return (place) => lines[place] ?? first;
}

function newlinesIn(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

const space = 0x20;

/** True if one of the values begins or ends with a space. Looks at every value of a file, and so without iterators. */
function isPadded(data: readonly (readonly string[])[]): boolean {
  for (let record = 0; record < data.length; record += 1) {
    const values = data[record] ?? [];
    for (let i = 0; i < values.length; i += 1) {
      const value = values[i] ?? "";
      if (value.charCodeAt(0) === space || value.charCodeAt(value.length - 1) === space) return true;
    }
  }
  return false;
}

/** Not by a pattern, which would look at each run of spaces within the text from each of its spaces. */
function trimSpaces(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && text.charCodeAt(from) === space) from += 1;
  while (to > from && text.charCodeAt(to - 1) === space) to -= 1;
  return text.slice(from, to);
}

/** Takes the spaces around values away, but for those in quotes. */
function trim(data: string[][], text: string, separator: string): void {
  const isQuoted = text.includes('"') ? quotedValues(text, separator) : undefined;
  let at = 0;
  for (const values of data) {
    for (const [i, value] of values.entries()) {
      if (isQuoted?.[at] !== true) values[i] = trimSpaces(value);
      at += 1;
    }
  }
}

/** Of each value of this text, in order, whether it is in quotes. */
function quotedValues(text: string, separator: string): boolean[] {
  const quoted: boolean[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const isQuoted = text[at] === '"';
    quoted.push(isQuoted);
    if (isQuoted) {
      at += 1;
      while (at < text.length && (text[at] !== '"' || text[at + 1] === '"')) at += text[at] === '"' ? 2 : 1;
      at += 1;
    } else {
      while (at < text.length && text[at] !== separator && text[at] !== "\n") at += 1;
    }
  }
  return quoted;
}
