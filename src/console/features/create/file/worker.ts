import { expose } from "comlink";
import type { ContactInput } from "../../../../domain/contacts/contact.ts";
import { badFile } from "../../../../files/bad-file.ts";
import { createCsvReader } from "../../../../files/csv.ts";
import { regions } from "../../../../files/phones.ts";
import type { Columns, ReadAs } from "../../../../files/titles.ts";
import { type Check, type Region, checkRows } from "./check.ts";
import {
  type FileRow,
  type Table,
  chosenColumns,
  columnName,
  hasTitleRow,
  joinNames,
  layOut,
  rowsAbove,
} from "./columns.ts";
import type { Sheet, Workbook } from "./workbook/workbook.ts";
import { isWorkbook } from "./workbook/is-workbook.ts";
import { contactWriter, rejectedCsv } from "./write.ts";

/** What is known of a file once it is read. */
export type Summary = {
  /** The sheets of a workbook that people see; none of another file. */
  readonly sheets: readonly string[];
  /** Unless there are several sheets, of which one is to be chosen. */
  readonly part: Part | undefined;
  /** The countries and territories as whose phones can be read. */
  readonly regions: readonly Region[];
};

/** A file, or one sheet of a workbook. */
export type Part = Table & {
  readonly sheet: string;
  /** The rows above the titles, or above all contacts, which are not read. */
  readonly above: number;
  readonly hiddenRows: number;
  readonly withHidden: boolean;
  /** Cells with a formula whose result is not in the workbook. */
  readonly unknownResults: number;
};

/** How a file is to be read; what is not said is found out. */
export type HowToRead = {
  readonly sheet: string;
  readonly above?: number;
  readonly hasTitles?: boolean;
  readonly withHidden?: boolean;
};

export type ReadProgress = { readonly rows: number; readonly share: number };

/** As large as the service's, for which a file is judged by its first piece. */
const pieceBytes = 64 * 1024;
const largestBytes = 256 * 1024 * 1024;
const writtenRows = 5_000;

const plain = { hiddenColumns: new Set<number>(), hiddenRows: new Set<number>(), unknownResults: 0 };

let workbook: Workbook | undefined;
/** What was read last, titles and all. */
let sheet: Sheet = { rows: [], ...plain };
let readSheet = "";
let table: Table | undefined;
let rows: readonly FileRow[] = [];
let checked: (ReturnType<typeof checkRows> & { columns: Columns }) | undefined;

async function readCsv(file: File, onProgress: (progress: ReadProgress) => void): Promise<FileRow[]> {
  if (file.size > largestBytes)
    throw badFile("The file is larger than 256 MB. Split it, and add the rest later.");
  const csv = createCsvReader();
  const records: FileRow[] = [];
  for (let at = 0; at < file.size; at += pieceBytes) {
    const piece = new Uint8Array(await file.slice(at, at + pieceBytes).arrayBuffer());
    for (const record of csv.read(piece)) records.push(record);
    onProgress({ rows: records.length, share: at / file.size });
  }
  records.push(...csv.end());
  return records;
}

function layOutPart({ sheet: name, hasTitles, withHidden = false, ...how }: HowToRead): Part {
  const all = withHidden ? sheet.rows : sheet.rows.filter(({ line }) => !sheet.hiddenRows.has(line));
  const above = how.above ?? rowsAbove(all);
  const seen = all.slice(above);
  readSheet = name;
  const laid = layOut(seen, { hasTitles: hasTitles ?? hasTitleRow(seen), hidden: sheet.hiddenColumns });
  ({ table, rows } = laid);
  checked = undefined;
  const { unknownResults } = sheet;
  return { ...laid.table, sheet: name, above, hiddenRows: sheet.hiddenRows.size, withHidden, unknownResults };
}

function judged() {
  if (checked === undefined || table === undefined) throw new Error("a file is judged before it is written");
  return { ...checked, table };
}

/** One file, from reading it to handing out its contacts. */
const fileWorker = {
  async read(file: File, onProgress: (progress: ReadProgress) => void): Promise<Summary> {
    const start = new Uint8Array(await file.slice(0, pieceBytes).arrayBuffer());
    if (isWorkbook(start)) {
      const { openWorkbook } = await import("./workbook/workbook.ts");
      workbook = await openWorkbook(file);
      const { sheets } = workbook;
      const [only = "", ...others] = sheets;
      if (others.length > 0) return { sheets, part: undefined, regions: regions() };
      sheet = workbook.read(only, onProgress);
      return { sheets, part: layOutPart({ sheet: only }), regions: regions() };
    }
    sheet = { rows: await readCsv(file, onProgress), ...plain };
    return { sheets: [], part: layOutPart({ sheet: "" }), regions: regions() };
  },

  /** Reads it otherwise: another sheet, with or without titles. */
  layOut(how: HowToRead): Part {
    if (workbook !== undefined && how.sheet !== readSheet) sheet = workbook.read(how.sheet);
    return layOutPart(how);
  },

  check(readAs: readonly ReadAs[], region: Region): Check {
    if (table === undefined) throw new Error("a file is laid out before it is judged");
    checked = undefined;
    const joined = joinNames(rows, readAs);
    const columns = chosenColumns(table, joined.columns);
    checked = { ...checkRows(joined.rows, columns, region), columns };
    return checked.check;
  },

  /** Some of the phones that are to be called. */
  phones(from: number, to: number): string[] {
    return judged().phones.slice(from, to);
  },

  write(): Blob {
    const { accepted, columns, take } = judged();
    const { titles, rows: rowsOf } = contactWriter(columns);
    const pieces = [titles()];
    for (let from = 0; from < accepted.length; from += writtenRows) {
      const contacts: ContactInput[] = accepted.slice(from, from + writtenRows).map(take);
      pieces.push(rowsOf(contacts));
    }
    return new Blob(pieces, { type: "text/csv" });
  },

  /** The rows that are not sent, as a file to mend. */
  writeRejected(): Blob {
    const { rejected, columns, table: read } = judged();
    const titles = read.hasTitles ? read.titles : read.columns.map((_, at) => columnName(at));
    const found = rejected.flatMap(({ place, flaw }) => {
      const row = rows[place];
      return row === undefined ? [] : [{ row, flaw }];
    });
    return new Blob([rejectedCsv(titles, columns, found)], { type: "text/csv" });
  },
};

export type FileWorker = typeof fileWorker;

expose(fileWorker);
