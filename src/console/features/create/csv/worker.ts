import { expose } from "comlink";
import Papa from "papaparse";
import { type Check, type Columns, checkRows, guessColumns, hasTitles } from "./check.ts";
import { FileError, decodeText } from "./decode.ts";
import { contactsCsv, titlesCsv } from "./write.ts";

/** What is known of a file once it is read. */
export type Summary = {
  readonly titles: readonly string[];
  readonly rowCount: number;
  readonly firstRows: readonly (readonly string[])[];
  readonly columns: Columns;
};

export type ReadProgress = { readonly rows: number; readonly share: number };

const chunkCharacters = 512 * 1024;
const shownRows = 5;
const sampleRows = 100;
const writtenRows = 5_000;

let titles: readonly string[] = [];
let rows: string[][] = [];
let firstRow = 1;
let columns: Columns = { phone: 0, name: undefined };
let accepted: readonly number[] = [];

function parse(text: string, onProgress: (progress: ReadProgress) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    Papa.parse<string[]>(text, {
      skipEmptyLines: "greedy",
      chunkSize: chunkCharacters,
      chunk({ data, meta }: Papa.ParseResult<string[]>) {
        for (const row of data) rows.push(row);
        onProgress({ rows: rows.length, share: Math.min(1, meta.cursor / text.length) });
      },
      complete: () => resolve(),
      error: () => reject(new FileError("The file could not be read as CSV.")),
    });
  });
}

/** One file, from reading it to handing out its contacts. */
const csvWorker = {
  async read(file: File, onProgress: (progress: ReadProgress) => void): Promise<Summary> {
    rows = [];
    await parse(decodeText(new Uint8Array(await file.arrayBuffer())), onProgress);
    const [first] = rows;
    if (first === undefined) throw new FileError("The file is empty.");
    const isTitled = hasTitles(first);
    titles = isTitled ? first : first.map((_, i) => `Column ${i + 1}`);
    if (isTitled) rows.shift();
    if (rows.length === 0) throw new FileError("The file has titles, and no rows under them.");
    firstRow = isTitled ? 2 : 1;
    return {
      titles,
      rowCount: rows.length,
      firstRows: rows.slice(0, shownRows),
      columns: guessColumns(titles, rows.slice(0, sampleRows)),
    };
  },

  check(chosen: Columns): Check {
    columns = chosen;
    const result = checkRows(rows, titles, columns, firstRow);
    accepted = result.accepted;
    return result.check;
  },

  write(): Blob {
    const pieces: string[] = [];
    for (let from = 0; from < accepted.length; from += writtenRows) {
      const some = accepted.slice(from, from + writtenRows);
      pieces.push(
        contactsCsv(
          some.map((place) => rows[place] ?? []),
          titles,
          columns,
        ),
      );
    }
    return new Blob([titlesCsv(titles, columns), ...pieces], { type: "text/csv" });
  },
};

export type CsvWorker = typeof csvWorker;

expose(csvWorker);
