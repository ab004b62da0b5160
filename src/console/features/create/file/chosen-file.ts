import { proxy, wrap } from "comlink";
import type { ReadAs } from "../../../../files/titles.ts";
import type { Check, Region } from "./check.ts";
import type { FileWorker, HowToRead, Part, ReadProgress, Summary } from "./worker.ts";

/** A file of contacts that a worker beside the page holds, so that the page stays smooth whatever its size. */
export type ChosenFile = {
  readonly name: string;
  readonly summary: Summary;
  readonly layOut: (how: HowToRead) => Promise<Part>;
  /** Judges all rows; what it accepts is what `write` writes. */
  readonly check: (columns: readonly ReadAs[], region: Region) => Promise<Check>;
  /** Some of the phones that were accepted. */
  readonly phones: (from: number, to: number) => Promise<readonly string[]>;
  /** The accepted contacts as a file that the service imports. */
  readonly write: () => Promise<Blob>;
  /** The other rows, each with what is wrong with it. */
  readonly writeRejected: () => Promise<Blob>;
  /** Lets go of it, once it is written if it is being written. */
  readonly close: () => void;
};

/** Reads the file; rejects with a sentence that says what is wrong with it. */
export async function openFile(
  file: File,
  onProgress: (progress: ReadProgress) => void,
): Promise<ChosenFile> {
  const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
  const { promise: broken, reject } = Promise.withResolvers<never>();
  worker.addEventListener("error", () => reject(new Error("The file could not be read.")));
  const remote = wrap<FileWorker>(worker);
  let writing: Promise<unknown> = Promise.resolve();
  try {
    const summary = await Promise.race([remote.read(file, proxy(onProgress)), broken]);
    return {
      name: file.name,
      summary,
      layOut: (how) => remote.layOut(how),
      check: (columns, region) => remote.check(columns, region),
      phones: (from, to) => remote.phones(from, to),
      write() {
        const written = remote.write();
        writing = written.catch(() => {});
        return written;
      },
      writeRejected: () => remote.writeRejected(),
      close: () => void writing.then(() => worker.terminate()),
    };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}
