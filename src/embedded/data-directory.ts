import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Account, canEnter, isRoot, serverAccount } from "./account.ts";
import { tryLock } from "./lock.ts";

/**
 * Where embedded servers keep their data: `configured` if given; else `.callsheet` in the working directory; as root,
 * where the unprivileged Postgres user could not enter that, /var/lib/callsheet.
 */
export function chooseDataDirectory(configured: string | undefined): string {
  if (configured) return resolve(configured);
  const local = resolve(".callsheet");
  if (!isRoot()) return local;
  const account = serverAccount(join(local, "postgres", "data"));
  return canEnter(account, existsSync(local) ? local : process.cwd()) ? local : "/var/lib/callsheet";
}

/**
 * Holds the data directory for this process, so that two services never share it. Throws when a live service holds it;
 * a killed one does not.
 */
export async function holdDataDirectory(dir: string): Promise<AsyncDisposable> {
  makeDataDirectory(dir);
  const lock = attempt(dir, () => tryLock(join(dir, "lock")));
  if (!lock) {
    throw new Error(
      `another Callsheet service is using ${dir}: stop it, or give this one its own CALLSHEET_DATA_DIR`,
    );
  }
  return { [Symbol.asyncDispose]: async () => lock[Symbol.dispose]() };
}

/** Makes the data directory unless it is there. What is private in it is so by its own mode. */
export function makeDataDirectory(dir: string): void {
  attempt(dir, () => {
    const made = mkdirSync(dir, { recursive: true });
    // As root the servers run as somebody else, who must be able to pass through, whatever our umask.
    if (made !== undefined) chmodSync(dir, isRoot() ? 0o711 : 0o700);
  });
}

/** Makes sure that a server run as `account` can get at its data in `dir`. */
export function makeReachable(dir: string, account: Account | undefined): void {
  makeDataDirectory(dir);
  if (canEnter(account, dir)) return;
  throw new Error(
    `the servers do not run as root, and their user cannot enter ${dir}: set CALLSHEET_DATA_DIR to a directory it can`,
  );
}

function attempt<T>(dir: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot use the data directory ${dir} (${reason}): set CALLSHEET_DATA_DIR to another`, {
      cause: error,
    });
  }
}
