import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Account } from "../account.ts";
import { makeDataDirectory } from "../data-directory.ts";
import { tryLock } from "../lock.ts";
import { type RedisBinary, unpackedServers, unpackServer } from "./redis-package.ts";
import { run, serverEnvironment } from "../run.ts";
import { makeWholeDirectory } from "../whole-directory.ts";

type Search = {
  readonly account: Account | undefined;
  readonly packageDirectory: string;
  readonly say: (line: string) => void;
};

const oldestVersion = 7;
const lockIntervalMs = 100;

/** The installed server if it is new enough; else the distribution's own package, unpacked once and kept. */
export async function findRedisBinary(search: Search): Promise<RedisBinary> {
  const env = serverEnvironment();
  const installed = ["valkey-server", "redis-server"].map((file) => ({ file, env }));
  return (
    (await firstUsable(installed, search.account)) ??
    (await unpacked(search.packageDirectory, search.account)) ??
    (await unpack(search))
  );
}

function unpacked(root: string, account: Account | undefined): Promise<RedisBinary | undefined> {
  return firstUsable(unpackedServers(root), account);
}

async function unpack(search: Search): Promise<RedisBinary> {
  makeDataDirectory(dirname(search.packageDirectory));
  const lock = await waitForLock(`${search.packageDirectory}.lock`);
  try {
    return (
      (await unpacked(search.packageDirectory, search.account)) ?? // by whoever held the lock
      (await unpackLocked(search))
    );
  } finally {
    lock[Symbol.dispose]();
  }
}

async function unpackLocked({ account, packageDirectory, say }: Search): Promise<RedisBinary> {
  say(`Redis is not installed: unpacking the system's own package into ${packageDirectory}, once`);
  await rm(packageDirectory, { recursive: true, force: true });
  await makeWholeDirectory(packageDirectory, (fresh) =>
    unpackServer(fresh, async () => (await unpacked(fresh, account)) !== undefined),
  ).catch(refuse);
  return (await unpacked(packageDirectory, account)) ?? refuse("it does not run");
}

function refuse(cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new Error(
    `Redis ${oldestVersion} or newer is not installed and could not be unpacked (${reason}): ` +
      "install valkey-server or redis-server with the system's package manager, or set REDIS_URL",
    { cause },
  );
}

async function firstUsable(
  binaries: readonly RedisBinary[],
  account: Account | undefined,
): Promise<RedisBinary | undefined> {
  for (const binary of binaries) {
    const { ok, output } = await run(binary.file, ["--version"], { account, env: binary.env });
    const version = /\bv=(\d+)\./.exec(output)?.[1];
    if (ok && Number(version) >= oldestVersion) return binary;
  }
  return undefined;
}

async function waitForLock(file: string): Promise<Disposable> {
  for (;;) {
    const lock = tryLock(file);
    if (lock) return lock;
    await delay(lockIntervalMs);
  }
}
