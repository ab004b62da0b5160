import type { Flaw } from "../domain/contacts/contact.ts";
import { emptyFile, fileWithoutRows } from "./bad-file.ts";
import { type ContactRow, createRowReader } from "./contact-rows.ts";
import { type CsvRecord, createCsvReader } from "./csv.ts";
import { phoneReader } from "./phones.ts";
import { type RejectedSheet, createRejectedSheet } from "./rejected-sheet.ts";
import { readTitles } from "./titles.ts";

/** How a file is to be read; what is empty is found out. */
export type FileOptions = {
  /** As what phones are read that are not E.164; if it is empty they are rejected. */
  readonly defaultRegion: string;
  readonly encoding: string;
  readonly delimiter: string;
  readonly phoneColumn: string;
};

export const plainFile: FileOptions = { defaultRegion: "", encoding: "", delimiter: "", phoneColumn: "" };

/** A row of a file with the line on which it begins: a contact, or what is wrong with it, and what it had. */
export type FileRow =
  | { readonly line: number; readonly contact: ContactRow }
  | {
      readonly line: number;
      readonly phone: string;
      readonly flaw: Flaw;
      readonly values: readonly string[];
    };

/**
 * Reads a file of contacts piece by piece, each of its rows as a contact or as what is wrong with it; refuses a file
 * that cannot be read, or has no rows. The service and the console read files by this, and so alike.
 */
export function createContactFile(options: FileOptions) {
  const readPhone = phoneReader(options.defaultRegion);
  const csv = createCsvReader(options);
  let rows: ReturnType<typeof createRowReader> | undefined;
  let rejected: RejectedSheet | undefined;
  let isAny = false;

  function toRows(records: readonly CsvRecord[]): FileRow[] {
    const read: FileRow[] = [];
    for (const { line, values } of records) {
      if (rows === undefined) {
        const columns = readTitles(values, options.phoneColumn);
        rows = createRowReader(columns, readPhone);
        rejected = createRejectedSheet(values, columns);
        continue;
      }
      isAny = true;
      const row = rows.read(values);
      read.push(
        "rule" in row ? { line, phone: rows.phoneOf(values), flaw: row, values } : { line, contact: row },
      );
    }
    return read;
  }

  return {
    /** The rows that end in or before this piece. */
    read: (piece: Uint8Array): FileRow[] => toRows(csv.read(piece)),
    /** The last row, if the file does not end with a line end. */
    end(): FileRow[] {
      const last = toRows(csv.end());
      if (rows === undefined) throw emptyFile();
      if (!isAny) throw fileWithoutRows();
      return last;
    },
    /** How those of its rows are written that are rejected; once a row was read. */
    rejectedSheet(): RejectedSheet {
      if (rejected === undefined) throw emptyFile();
      return rejected;
    },
  };
}
