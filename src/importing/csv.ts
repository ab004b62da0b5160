import Papa from "papaparse";
import { BatchJobError } from "../domain/batch-job-error.ts";

/** One record of a file, and the line on which it begins, from 1. */
export type CsvRecord = { readonly line: number; readonly values: readonly string[] };

/** A record that is longer is not one: somewhere before its end a quote was not closed. In UTF-16 units. */
const largestRecord = 256 * 1024;

/** The refusal of a file that is not what it should be. */
export const badFile = (message: string, metadata: Readonly<Record<string, string>> = {}): BatchJobError =>
  new BatchJobError("invalid_argument", message, { field: "csv", ...metadata });

type Parsed = { data: string[][]; errors: { row: number }[]; meta: { cursor: number } };

/**
 * Reads CSV (RFC 4180, UTF-8 with or without a byte order mark, lines ended by CRLF or LF) piece by piece. Empty lines
 * are no records. Each piece should be some 10 kB: what is left of a record is read again with the next one.
 */
export function createCsvReader() {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const parser = new Papa.Parser({ delimiter: ",", newline: "\n", quoteChar: '"' });
  let rest = "";
  let line = 1;

  function decode(bytes?: Uint8Array): string {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      throw badFile(`The file is not UTF-8 in or after line ${line}; save it as UTF-8.`, {
        line: String(line),
      });
    }
  }

  function read(text: string, { isLast }: { isLast: boolean }): CsvRecord[] {
    // Half of a CRLF is left for the next piece.
    const end = !isLast && text.endsWith("\r") ? text.length - 1 : text.length;
    const whole = text.slice(0, end).replaceAll("\r\n", "\n");
    const { data, errors, meta }: Parsed = parser.parse(whole, 0, !isLast);
    const records: CsvRecord[] = [];
    const begins = linesOf(data, whole.slice(0, meta.cursor), line);
    const wrong = errors.find(({ row }) => row < data.length || isLast);
    if (wrong !== undefined) {
      const at = begins(wrong.row);
      throw badFile(
        `The quotes in the record of line ${at} do not match; write a quote inside of quotes twice.`,
        { line: String(at) },
      );
    }
    for (const [i, values] of data.entries()) {
      if (values.length > 1 || values[0] !== "") records.push({ line: begins(i), values });
    }
    line = begins(data.length);
    rest = whole.slice(meta.cursor) + text.slice(end);
    if (rest.length > largestRecord) {
      throw badFile(
        `The record of line ${line} does not end within ${largestRecord} characters; perhaps a quote is not closed.`,
        { line: String(line) },
      );
    }
    return records;
  }

  return {
    /** The records that end in or before this piece. */
    read: (bytes: Uint8Array): CsvRecord[] => read(rest + decode(bytes), { isLast: false }),
    /** The last record, if the file does not end with a line end. */
    end: (): CsvRecord[] => read(rest + decode(), { isLast: true }),
  };
}

/** Tells on which line the record at a place begins, where the first one begins on `first`. */
function linesOf(data: readonly string[][], text: string, first: number): (place: number) => number {
  const inValues = newlinesIn(text) - data.length;
  // The last record of a file may lack its line end.
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
