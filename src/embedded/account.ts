import { spawnSync } from "node:child_process";
import { readFileSync, statSync } from "node:fs";

/** Whom a server runs as instead of root. */
export type Account = { readonly uid: number; readonly gid: number };

export function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * The account for a server with its data in `data`: undefined (our own) unless we are root, which Postgres refuses.
 * Whoever owns existing data stays its account, even if a more fitting user has appeared since.
 */
export function serverAccount(data: string): Account | undefined {
  if (!isRoot()) return undefined;
  const owner = statSync(data, { throwIfNoEntry: false });
  if (owner && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  const users = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .map((line) => line.split(":"));
  const user = ["postgres", "nobody", "daemon"]
    .map((name) => users.find((fields) => fields[0] === name))
    .find((fields) => fields !== undefined);
  if (!user) {
    throw new Error(
      "Postgres and Redis are not run as root and there is no user postgres, nobody or daemon: set DATABASE_URL and REDIS_URL",
    );
  }
  return { uid: Number(user[2]), gid: Number(user[3]) };
}

/** Whether `account` may pass through every directory down to and including `directory`. */
export function canEnter(account: Account | undefined, directory: string): boolean {
  return spawnSync("test", ["-x", directory], { ...account, cwd: "/" }).status === 0;
}
