import { expose } from "comlink";
import { badFile } from "../../../../files/bad-file.ts";
import { type CsvRecord, createCsvReader } from "../../../../files/csv.ts";
import { regions } from "../../../../files/phones.ts";
import { type Check, type Columns, type Region, checkRows, readTable } from "./check.ts";
import { contactsCsv, titlesCsv } from "./write.ts";

/** What is known of a file once it is read. */
export type Summary = {
  readonly titles: readonly string[];
  readonly rowCount: number;
  readonly firstRows: readonly (readonly string[])[];
  readonly columns: Columns;
  /** The countries and territories as whose phones can be read. */
  readonly regions: readonly Region[];
};

export type ReadProgress = { readonly rows: number; readonly share: number };

/** As large as the service's, for which a file is judged by its first piece. */
const pieceBytes = 64 * 1024;
const largestBytes = 256 * 1024 * 1024;
const shownRows = 5;
const writtenRows = 5_000;

let titles: readonly string[] = [];
let records: CsvRecord[] = [];
let checked: ReturnType<typeof checkRows> | undefined;

/** One file, from reading it to handing out its contacts. */
const csvWorker = {
  async read(file: File, onProgress: (progress: ReadProgress) => void): Promise<Summary> {
    if (file.size > largestBytes)
      throw badFile("The file is larger than 256 MB. Split it, and add the rest later.");
    const csv = createCsvReader();
    records = [];
    for (let at = 0; at < file.size; at += pieceBytes) {
      const piece = new Uint8Array(await file.slice(at, at + pieceBytes).arrayBuffer());
      for (const record of csv.read(piece)) records.push(record);
      onProgress({ rows: records.length, share: at / file.size });
    }
    records.push(...csv.end());
    const table = readTable(records);
    ({ titles, records } = table);
    const firstRows = records.slice(0, shownRows).map(({ values }) => values);
    return { titles, rowCount: records.length, firstRows, columns: table.columns, regions: regions() };
  },

  check(columns: Columns, region: Region): Check {
    checked = checkRows(records, titles, { columns, region });
    return checked.check;
  },

  write(): Blob {
    if (checked === undefined) throw new Error("a file is judged before it is written");
    const { accepted, keys, take } = checked;
    const pieces = [titlesCsv(keys)];
    for (let from = 0; from < accepted.length; from += writtenRows) {
      pieces.push(contactsCsv(accepted.slice(from, from + writtenRows).map(take), keys));
    }
    return new Blob(pieces, { type: "text/csv" });
  },
};

export type CsvWorker = typeof csvWorker;

expose(csvWorker);
