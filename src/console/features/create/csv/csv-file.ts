import { proxy, wrap } from "comlink";
import type { ContactInput } from "../../../../domain/contact.ts";
import type { Check, Columns } from "./check.ts";
import type { CsvWorker, ReadProgress, Summary } from "./worker.ts";

/** A CSV file that a worker beside the page holds, so that the page stays smooth whatever its size. */
export type CsvFile = {
  readonly name: string;
  readonly summary: Summary;
  /** Judges all rows; what it accepts is what `take` gives out. */
  readonly check: (columns: Columns) => Promise<Check>;
  /** The accepted contacts from the `from`th on, at most `count`. */
  readonly take: (from: number, count: number) => Promise<ContactInput[]>;
  readonly close: () => void;
};

/** Reads the file; rejects with a sentence that says what is wrong with it. */
export async function openCsv(file: File, onProgress: (progress: ReadProgress) => void): Promise<CsvFile> {
  const worker = new Worker(new URL("worker.ts", import.meta.url), { type: "module" });
  const { promise: broken, reject } = Promise.withResolvers<never>();
  worker.addEventListener("error", () => reject(new Error("The file could not be read.")));
  const remote = wrap<CsvWorker>(worker);
  try {
    const summary = await Promise.race([remote.read(file, proxy(onProgress)), broken]);
    return {
      name: file.name,
      summary,
      check: (columns) => remote.check(columns),
      take: (from, count) => remote.take(from, count),
      close: () => worker.terminate(),
    };
  } catch (error) {
    worker.terminate();
    throw error;
  }
}
