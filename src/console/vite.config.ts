import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const endings = [
  [".gz", promisify(gzip)],
  [".br", promisify(brotliCompress)],
] as const;

/** Writes a gzip and a Brotli file beside every file of the build, for the service to send as they are. */
function precompress(): Plugin {
  return {
    name: "precompress",
    async writeBundle({ dir = "" }) {
      const files = (await readdir(dir, { recursive: true, withFileTypes: true })).filter((file) =>
        file.isFile(),
      );
      const paths = files.map((file) => join(file.parentPath, file.name));
      await Promise.all(
        paths.flatMap((path) =>
          endings.map(async ([ending, compress]) =>
            writeFile(`${path}${ending}`, await compress(await readFile(path))),
          ),
        ),
      );
    },
  };
}

export default defineConfig({
  root: import.meta.dirname,
  plugins: [precompress()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // Everything is a file of its own, which is what the Content-Security-Policy allows.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  worker: { format: "es" },
});
