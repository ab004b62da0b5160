import { cp, readFile, readdir, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { z } from "zod";
import type { Account } from "../account.ts";
import { advice, findPostgresPackage } from "./postgres-package.ts";
import { lastComplaint, run } from "../run.ts";
import { makeWholeDirectory } from "../whole-directory.ts";

const links = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * A directory with Postgres' `bin`, `lib` and `share` that the account can use; a copy of the package's if it must be.
 */
export async function findPostgresBinaries(
  account: Account | undefined,
  dataDirectory: string,
  say: (line: string) => void,
): Promise<string> {
  const packaged = await findPostgresPackage(dataDirectory, say);
  if (await works(packaged, account)) return join(packaged, "native");
  // The package's install script, which npm may have blocked, would have made them.
  await makeLinks(packaged);
  if (await works(packaged, account)) return join(packaged, "native");
  const copy = await copyOut(packaged, dataDirectory);
  const trial = await tryOut(copy, account);
  if (trial.ok) return join(copy, "native");
  throw new Error(
    `the embedded Postgres does not run on this system (${lastComplaint(trial.output)}): ${advice}`,
  );
}

async function works(root: string, account: Account | undefined): Promise<boolean> {
  return (await tryOut(root, account)).ok;
}

async function tryOut(root: string, account: Account | undefined): Promise<{ ok: boolean; output: string }> {
  const server = await run(join(root, "native/bin/postgres"), ["--version"], { account });
  return server.ok ? run(join(root, "native/bin/initdb"), ["--version"], { account }) : server;
}

/** Makes the links between libraries that npm packages cannot carry; where it may not write, it makes none. */
async function makeLinks(root: string): Promise<void> {
  const list = await readFile(join(root, "native/pg-symlinks.json"), "utf8");
  for (const { source, target } of links.parse(JSON.parse(list))) {
    await symlink(relative(dirname(target), source), join(root, target)).catch(() => {});
  }
}

async function copyOut(packaged: string, dataDirectory: string): Promise<string> {
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(await readFile(join(packaged, "package.json"), "utf8")));
  const prefix = "postgres-binaries-";
  const copy = join(dataDirectory, prefix + version);
  for (const name of await readdir(dataDirectory)) {
    const outdated = name.startsWith(prefix) && name !== prefix + version;
    if (outdated) await rm(join(dataDirectory, name), { recursive: true });
  }
  await makeWholeDirectory(copy, async (fresh) => {
    await cp(join(packaged, "native"), join(fresh, "native"), { recursive: true, verbatimSymlinks: true });
    await makeLinks(fresh);
    await run("chmod", ["-R", "a+rX", fresh]);
  });
  return copy;
}
