/** What reads a file piece by piece; the last of what it has read may come at the end. */
type Reader<Row> = { read(piece: Uint8Array): readonly Row[]; end(): readonly Row[] };

/** What a file's rows come to, until it is written. */
type Gathered<Row> = {
  take(rows: readonly Row[]): void;
  /** True if there is enough of it for a batch. */
  isFull(): boolean;
  /** Takes what there is, at the end `all` of it, and writes it; nothing more is taken before the batch is away. */
  write(some: { readonly all: boolean }): Promise<unknown>;
};

/** Reads a file to its end. One batch is written while the rows of the next one are read. */
export async function readInBatches<Row>(
  pieces: AsyncIterable<Buffer>,
  reader: Reader<Row>,
  gathered: Gathered<Row>,
): Promise<void> {
  let writing: Promise<unknown> = Promise.resolve();

  async function writeOn(some: { readonly all: boolean }): Promise<void> {
    await writing;
    writing = gathered.write(some);
    // A failure is seen when it is waited for.
    writing.catch(() => {});
  }

  try {
    for await (const piece of pieces) {
      gathered.take(reader.read(piece));
      if (gathered.isFull()) await writeOn({ all: false });
    }
    gathered.take(reader.end());
    await writeOn({ all: true });
  } finally {
    await writing;
  }
}
