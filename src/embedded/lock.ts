import { accessSync, closeSync, constants, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/**
 * Takes a lock for this process; undefined while anybody holds it. It ends with the process, however that ends.
 *
 * The file is an empty SQLite database, because SQLite is what Node has of kernel file locks: they cannot go stale,
 * unlike a process id or a socket file, and two takers cannot both win.
 */
export function tryLock(file: string): Disposable | undefined {
  createPrivately(file);
  accessSync(file, constants.R_OK | constants.W_OK); // says why not, which SQLite does not
  const database = new DatabaseSync(file);
  try {
    database.exec("pragma journal_mode = memory; begin exclusive"); // no second file beside it
  } catch (error) {
    database.close();
    if (error instanceof Error && error.message.includes("locked")) return undefined;
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}

/** An existing file is not even opened: closing it would release a lock that this process holds on it. */
function createPrivately(file: string): void {
  try {
    closeSync(openSync(file, "wx", 0o600));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
}
