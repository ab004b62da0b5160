import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { promisify } from "node:util";
import { type ZlibOptions, brotliCompress, gzip } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode, base64Encode } from "@bufbuild/protobuf/wire";
import { type FileDescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { defineConfig, type Plugin } from "vite";

const endings = [
  [".gz", (bytes: Buffer) => promisify<Buffer, ZlibOptions, Buffer>(gzip)(bytes, { level: 9 })],
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

const rulesModule = "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";

const encode = (file: FileDescriptorProto) => base64Encode(toBinary(FileDescriptorProtoSchema, file));

/** A description of a proto without its options: they are the service's. */
function bare(described: string): string {
  const file = fromBinary(FileDescriptorProtoSchema, base64Decode(described));
  for (const { field } of file.messageType)
    for (const each of field) if (!each.options?.packed) delete each.options;
  for (const { oneofDecl } of file.messageType) for (const each of oneofDecl) delete each.options;
  for (const { method } of file.service) for (const each of method) delete each.options;
  return encode(file);
}

/** The rules of fields are the service's to check: what describes them, half of the first load, is left out. */
function withoutRules(): Plugin {
  const described = encode(create(FileDescriptorProtoSchema, { name: "buf/validate/validate.proto" }));
  return {
    name: "without-rules",
    enforce: "pre",
    resolveId: (id) => (id === rulesModule ? `\0${rulesModule}` : undefined),
    load: (id) =>
      id === `\0${rulesModule}`
        ? `import { fileDesc } from "@bufbuild/protobuf/codegenv2";
           export const file_buf_validate_validate = fileDesc("${described}");`
        : undefined,
    transform: (code, id) =>
      id.includes("/src/gen/") && !id.endsWith("options_pb.ts")
        ? code.replace(/(?<=fileDesc\(")[A-Za-z\d+/=]+(?=")/, bare)
        : undefined,
  };
}

const decoders = [
  "fromJson",
  "fromJsonString",
  "mergeFromJson",
  "mergeFromJsonString",
  "enumFromJson",
  "isEnumJson",
];
const encoders = ["toJson", "toJsonString", "enumToJson"];

const none = (names: readonly string[]): string =>
  names.map((name) => `export function ${name}() { throw new Error("${name} is left out"); }`).join("\n");

/** The console's messages go as bytes: what would write and read them as JSON is left out. */
function withoutJson(): Plugin {
  return {
    name: "without-json",
    enforce: "pre",
    load(id) {
      if (id.endsWith("/@bufbuild/protobuf/dist/esm/from-json.js")) return none(decoders);
      if (id.endsWith("/@bufbuild/protobuf/dist/esm/to-json.js")) return none(encoders);
      return undefined;
    },
  };
}

const inlineImage = /url\("?(data:image(?:[^"\\)]|\\.|\)(?!["} ;,]))*)"?\)/g;

export default defineConfig({
  root: import.meta.dirname,
  // The service may be under a path.
  base: "./",
  plugins: [withoutRules(), withoutJson(), imagesAsFiles(), precompress()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    // Everything is a file of its own, which is what the Content-Security-Policy allows.
    assetsInlineLimit: 0,
    manifest: true,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 2_000,
    rolldownOptions: {
      input: ["index.html", "docs.html"].map((page) => join(import.meta.dirname, page)),
      checks: { pluginTimings: false },
    },
  },
  worker: { format: "es", plugins: () => [withoutRules(), withoutJson()] },
});
