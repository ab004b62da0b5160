import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client } from "pg";
import { serverAccount } from "../../src/embedded/account.ts";
import { chooseDataDirectory, makeDataDirectory } from "../../src/embedded/data-directory.ts";
import { tryLock } from "../../src/embedded/lock.ts";
import { type RedisBinary, unpackPackages, unpackedEnvironment } from "../../src/embedded/redis-package.ts";
import { run, serverEnvironment } from "../../src/embedded/run.ts";
import { freePort } from "../../src/embedded/server-process.ts";
import { makeWholeDirectory } from "../../src/embedded/whole-directory.ts";
import { eventually } from "./eventually.ts";

export type PgBouncer = AsyncDisposable & {
  /** The URL through the pooler. */
  readonly url: string;
};

const packageDirectory = join(chooseDataDirectory(undefined), "pgbouncer-package");

async function firstUsable(binaries: readonly RedisBinary[]): Promise<RedisBinary | undefined> {
  for (const binary of binaries) {
    if ((await run(binary.file, ["--version"], { env: binary.env })).ok) return binary;
  }
  return undefined;
}

const unpacked = (root: string) =>
  firstUsable([{ file: join(root, "usr/sbin/pgbouncer"), env: unpackedEnvironment(root) }]);

/** PgBouncer as it is installed, or else Debian's package, unpacked once and kept; or why there is none. */
export async function findPgBouncer(): Promise<RedisBinary | string> {
  const env = serverEnvironment();
  const installed = await firstUsable(["pgbouncer", "/usr/sbin/pgbouncer"].map((file) => ({ file, env })));
  const found = installed ?? (await unpacked(packageDirectory));
  if (found !== undefined) return found;
  makeDataDirectory(dirname(packageDirectory));
  let lock = tryLock(`${packageDirectory}.lock`);
  for (; lock === undefined; lock = tryLock(`${packageDirectory}.lock`)) await delay(100);
  try {
    await makeWholeDirectory(packageDirectory, (fresh) =>
      unpackPackages(fresh, [["pgbouncer"]], async () => (await unpacked(fresh)) !== undefined),
    );
    return (await unpacked(packageDirectory)) ?? "PgBouncer does not run";
  } catch (error) {
    return `PgBouncer is not installed and could not be unpacked: ${String(error)}`;
  } finally {
    lock[Symbol.dispose]();
  }
}

/** Starts one before the database of this URL, with these settings beside those that say where it is. */
export async function startPgBouncer(
  binary: RedisBinary,
  url: string,
  settings: Record<string, string>,
): Promise<PgBouncer> {
  await using stack = new AsyncDisposableStack();
  const { hostname, port, username, password } = new URL(url);
  const directory = await mkdtemp(join(tmpdir(), "callsheet-pgbouncer-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const listenPort = await freePort();
  const all = {
    listen_addr: "127.0.0.1",
    listen_port: String(listenPort),
    unix_socket_dir: "",
    auth_type: "plain",
    auth_file: join(directory, "users.txt"),
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const file = join(directory, "pgbouncer.ini");
  await writeFile(all.auth_file, `"${username}" "${decodeURIComponent(password)}"\n`);
  await writeFile(
    file,
    ["[databases]", `* = host=${hostname} port=${port}`, "[pgbouncer]", ...lines].join("\n"),
  );
  // It refuses to run as root.
  const account = serverAccount(file);
  await chmod(directory, 0o755);
  if (account !== undefined) await chown(directory, account.uid, account.gid);
  const child = spawn(binary.file, ["-q", file], { env: binary.env, stdio: "ignore", cwd: "/", ...account });
  stack.defer(() => end(child));
  const through = new URL(url);
  through.host = `127.0.0.1:${listenPort}`;
  await eventually(async () => {
    const client = new Client({ connectionString: through.href });
    client.on("error", () => {});
    await client.connect();
    await client.end();
  }, 10_000);
  const running = stack.move();
  return { url: through.href, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
