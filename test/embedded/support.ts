import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import { Client } from "pg";
import { chooseDataDirectory } from "../../src/embedded/data-directory.ts";

/** Where `npm start` would unpack Redis too: on a machine without it, that is done once. */
export const packageDirectory = join(chooseDataDirectory(undefined), "redis-package");

/** Enough for unpacking Redis, on a busy machine. */
export const slow = { timeout: 60_000 };

/** An empty directory that servers run by an unprivileged user can enter. */
export function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "callsheet embedded "));
  chmodSync(path, 0o711);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }) };
}

type Started = AsyncDisposable & { readonly child: ChildProcess };

/** Starts a process in a group of its own; it is killed in the end. */
export function startProcess(file: string, args: string[], options: SpawnOptions = {}): Started {
  const child = spawn(file, args, { ...options, detached: true, stdio: ["ignore", "pipe", "inherit"] });
  return { child, [Symbol.asyncDispose]: () => kill(child) };
}

/** Starts a script of this directory likewise. */
export function startScript(name: string, ...args: string[]): Started {
  return startProcess(process.execPath, [join(import.meta.dirname, name), ...args]);
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

/** The next line that the process prints. */
export async function nextLine(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error("its output is not piped");
  const [line] = await once(createInterface(child.stdout), "line");
  return String(line);
}

/** Ids of the live processes whose working directory is in `directory`, as that of both servers is. */
export function processesIn(directory: string): string[] {
  return readdirSync("/proc").filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(`/proc/${name}/cwd`).startsWith(directory);
    } catch {
      return false;
    }
  });
}

/** The first column of the first row. */
export async function query(url: string, sql: string): Promise<unknown> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(sql);
    return Object.values(rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}

/** Runs one command; not being allowed to is a rejection, not a retry. */
export async function command(url: string, name: string, ...args: string[]): Promise<unknown> {
  const redis = new Redis(url, { lazyConnect: true, enableReadyCheck: false, retryStrategy: () => null });
  redis.on("error", () => {});
  try {
    await redis.connect();
    return await redis.call(name, args);
  } finally {
    redis.disconnect();
  }
}
