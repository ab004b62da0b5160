import { proxy, wrap } from "comlink";
import type { Check, Columns, Region } from "./check.ts";
import type { CsvWorker, ReadProgress, Summary } from "./worker.ts";

/** A CSV file that a worker beside the page holds, so that the page stays smooth whatever its size. */
export type CsvFile = {
  readonly name: string;
  readonly summary: Summary;
  /** Judges all rows; what it accepts is what `write` writes. */
  readonly check: (columns: Columns, region: Region) => Promise<Check>;
  /** The accepted contacts as a file that the service imports. */
  readonly write: () => Promise<Blob>;
  /** Lets go of it, once it is written if it is being written. */
  readonly close: () => void;
};

/** Reads the file; rejects with a sentence that says what is wrong with it. */
export async function openCsv(file: File, onProgress: (progress: ReadProgress) => void): Promise<CsvFile> {
  const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
  const { promise: broken, reject } = Promise.withResolvers<never>();
  worker.addEventListener("error", () => reject(new Error("The file could not be read.")));
  const remote = wrap<CsvWorker>(worker);
  let writing: Promise<unknown> = Promise.resolve();
  try {
    const summary = await Promise.race([remote.read(file, proxy(onProgress)), broken]);
    return {
      name: file.name,
      summary,
      check: (columns, region) => remote.check(columns, region),
      write() {
        const written = remote.write();
        writing = written.catch(() => {});
        return written;
      },
      close: () => void writing.then(() => worker.terminate()),
    };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}
