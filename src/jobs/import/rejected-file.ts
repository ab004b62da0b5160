import { writeCsv } from "../../files/csv-writer.ts";
import { rejectedRow } from "../../postgres/contacts/staging.ts";

/** How many rejected rows there are to keep, and how large they are. */
export type Kept = { readonly rows: number; readonly bytes: number };

const nothing: Kept = { rows: 0, bytes: 0 };

/** As much is kept of the rejected rows of one file; of what comes after that only the number is known. */
const mostBytes = 256 * 1024 ** 2;

/** Gathers rejected rows until they are staged, beside those that were `before`. */
export function createRejectedFile(before = nothing, most = mostBytes) {
  let { rows, bytes } = before;
  let waiting = "";

  function write(line: number, cells: readonly string[]): void {
    const csv = writeCsv([cells]);
    bytes += Buffer.byteLength(csv);
    waiting += rejectedRow(line, csv);
  }

  return {
    /** The titles come first, whenever they are written. */
    writeTitles: (titles: readonly string[]): void => write(0, titles),
    add(line: number, cells: () => readonly string[]): void {
      if (bytes >= most) return;
      write(line, cells());
      rows += 1;
    },
    /** What was gathered since the last time, for Staging. */
    take(): string {
      const taken = waiting;
      waiting = "";
      return taken;
    },
    waitingBytes: (): number => waiting.length,
    kept: (): Kept => ({ rows, bytes }),
  };
}
