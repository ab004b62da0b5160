import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { chooseDataDirectory, makeDataDirectory } from "../../../src/embedded/data-directory.ts";
import { tryLock } from "../../../src/embedded/lock.ts";
import {
  type RedisBinary,
  unpackPackages,
  unpackedEnvironment,
} from "../../../src/embedded/redis/redis-package.ts";
import { run, serverEnvironment } from "../../../src/embedded/run.ts";
import { makeWholeDirectory } from "../../../src/embedded/whole-directory.ts";

export type Program = RedisBinary;

/** A program of Debian's: the package, its file under /, and the argument that makes it tell its version. */
type Wanted = {
  readonly packageName: string;
  readonly file: string;
  readonly versionFlag: string;
};

/** The program as it is installed, or else Debian's package, unpacked once and kept; or why there is none. */
export async function findDebianProgram({
  packageName,
  file,
  versionFlag,
}: Wanted): Promise<Program | string> {
  const isUsable = async ({ file: name, env }: Program) => (await run(name, [versionFlag], { env })).ok;
  const unpacked = async (root: string) => {
    const program = { file: join(root, file), env: unpackedEnvironment(root) };
    return (await isUsable(program)) ? program : undefined;
  };
  const installed = { file: join("/", file), env: serverEnvironment() };
  if (await isUsable(installed)) return installed;
  const directory = join(chooseDataDirectory(undefined), `${packageName}-package`);
  const kept = await unpacked(directory);
  if (kept !== undefined) return kept;
  makeDataDirectory(dirname(directory));
  let lock = tryLock(`${directory}.lock`);
  for (; lock === undefined; lock = tryLock(`${directory}.lock`)) await delay(100);
  try {
    await makeWholeDirectory(directory, (fresh) =>
      unpackPackages(fresh, [[packageName]], async () => (await unpacked(fresh)) !== undefined),
    );
    return (await unpacked(directory)) ?? `${packageName} does not run`;
  } catch (error) {
    return `${packageName} is not installed and could not be unpacked: ${String(error)}`;
  } finally {
    lock[Symbol.dispose]();
  }
}

/** Starts it; disposing kills it and waits for its end. */
export function startProgram(
  { file, env }: Program,
  args: readonly string[],
  account: { uid: number; gid: number } | undefined = undefined,
): AsyncDisposable {
  const child = spawn(file, args, { env, stdio: "ignore", cwd: "/", ...account });
  return { [Symbol.asyncDispose]: () => end(child) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
