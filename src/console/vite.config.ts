import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
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

/** Images that a style sheet has within it become files, which are all that the Content-Security-Policy allows. */
function imagesAsFiles(): Plugin {
  return {
    name: "images-as-files",
    generateBundle(_options, bundle) {
      for (const sheet of Object.values(bundle)) {
        if (sheet.type !== "asset" || !sheet.fileName.endsWith(".css")) continue;
        sheet.source = sheet.source.toString().replaceAll(inlineImage, (_url, escaped: string) => {
          const [head = "", data = ""] = escaped.replaceAll(/\\(.)/g, "$1").split(/,(.*)/s);
          if (!head.includes("svg+xml")) return "none";
          const source = decodeURIComponent(data);
          const reference = this.emitFile({ type: "asset", name: "image.svg", source });
          return `url("${posix.relative(posix.dirname(sheet.fileName), this.getFileName(reference))}")`;
        });
      }
    },
  };
}

const inlineImage = /url\("?(data:image(?:[^"\\)]|\\.|\)(?!["} ;,]))*)"?\)/g;

export default defineConfig({
  root: import.meta.dirname,
  // The service may be under a path.
  base: "./",
  plugins: [imagesAsFiles(), precompress()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // Everything is a file of its own, which is what the Content-Security-Policy allows.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2_000,
    rolldownOptions: {
      input: ["index.html", "docs.html"].map((page) => join(import.meta.dirname, page)),
      checks: { pluginTimings: false },
    },
  },
  worker: { format: "es" },
});
