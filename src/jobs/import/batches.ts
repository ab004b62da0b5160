import { type CsvRecord, createCsvReader } from "../../files/csv.ts";

/** What a file's records come to, until it is written. */
type Gathered = {
  take(records: readonly CsvRecord[]): void;
  /** True if there is enough of it for a batch. */
  isFull(): boolean;
  /** Takes what there is, at the end `all` of it, and writes it; nothing more is taken before the batch is away. */
  write(some: { readonly all: boolean }): Promise<unknown>;
};

/** Reads a CSV file to its end. One batch is written while the records of the next one are read. */
export async function readInBatches(pieces: AsyncIterable<Buffer>, gathered: Gathered): Promise<void> {
  const csv = createCsvReader();
  let writing: Promise<unknown> = Promise.resolve();

  async function writeOn(some: { readonly all: boolean }): Promise<void> {
    await writing;
    writing = gathered.write(some);
    // A failure is seen when it is waited for.
    writing.catch(() => {});
  }

  try {
    for await (const piece of pieces) {
      gathered.take(csv.read(piece));
      if (gathered.isFull()) await writeOn({ all: false });
    }
    gathered.take(csv.end());
    await writeOn({ all: true });
  } finally {
    await writing;
  }
}
