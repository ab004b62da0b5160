import { readFile, readdir, writeFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type ZlibOptions, brotliCompress, gzip } from "node:zlib";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { base64Decode } from "@bufbuild/protobuf/wire";
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

/**
 * The description of a proto as a string of its bytes, most of which are names. In base64, as it was generated, what
 * comes twice is hidden from what compresses it.
 */
function asText(file: FileDescriptorProto): string {
  const letters = Array.from(toBinary(FileDescriptorProtoSchema, file), (byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x22 || byte === 0x5c
      ? `\\x${byte.toString(16).padStart(2, "0")}`
      : String.fromCharCode(byte),
  );
  return `btoa("${letters.join("")}")`;
}

/** A description without options: they are the service's. */
function bare(file: FileDescriptorProto): FileDescriptorProto {
  for (const { field } of file.messageType)
    for (const each of field) if (!each.options?.packed) delete each.options;
  for (const { oneofDecl } of file.messageType) for (const each of oneofDecl) delete each.options;
  for (const { method } of file.service) for (const each of method) delete each.options;
  return file;
}

/** The rules of fields are the service's to check: what describes them, half of the first load, is left out. */
function withoutRules(): Plugin {
  const described = asText(create(FileDescriptorProtoSchema, { name: "buf/validate/validate.proto" }));
  return {
    name: "without-rules",
    enforce: "pre",
    resolveId: (id) => (id === rulesModule ? `\0${rulesModule}` : undefined),
    load: (id) =>
      id === `\0${rulesModule}`
        ? `import { fileDesc } from "@bufbuild/protobuf/codegenv2";
           export const file_buf_validate_validate = fileDesc(${described});`
        : undefined,
    transform: (code, id) =>
      id.includes("_pb.")
        ? code.replace(/(?<=fileDesc\()"([A-Za-z\d+/=]+)"/, (_all, base64: string) => {
            const file = fromBinary(FileDescriptorProtoSchema, base64Decode(base64));
            return asText(id.includes("/src/gen/") && !id.endsWith("options_pb.ts") ? bare(file) : file);
          })
        : undefined,
  };
}

type Described = { name: string; field?: { name: string }[]; nestedType?: object[]; enumType?: object[] };

/** What is read of the options of descriptions; the rest describes what no description here has. */
const readOptions: Record<string, readonly string[]> = {
  MessageOptions: ["map_entry"],
  FieldOptions: ["packed"],
  MethodOptions: ["idempotency_level"],
};

const isRead = ({ name }: Described): boolean => name.endsWith("DescriptorProto");

/** The description of descriptions, without what `bare` ones do not have. */
function withoutOptions(): Plugin {
  return {
    name: "without-options",
    enforce: "pre",
    transform: (code, id) =>
      id.endsWith("/wkt/google/protobuf/descriptor_pb.js")
        ? code.replace(/(?<=\bboot\()\{.*\}(?=\);)/, (described) => {
            const file = JSON.parse(described) as { messageType: Described[] };
            for (const message of file.messageType.filter((each) => !isRead(each))) {
              const names = readOptions[message.name] ?? [];
              message.field = (message.field ?? []).filter(({ name }) => names.includes(name));
              delete message.nestedType;
              if (message.name !== "MethodOptions") delete message.enumType;
            }
            return JSON.stringify(file);
          })
        : undefined,
  };
}

/** Enums of TypeScript's are functions that are called: said to do nothing else, they go where nobody reads them. */
function withoutUnreadEnums(): Plugin {
  const written = /\bvar (\w+);\s*\(function \(\1\) \{([^}]*)\}\)\(\1 \|\| \(\1 = \{\}\)\);/g;
  return {
    name: "without-unread-enums",
    enforce: "pre",
    transform: (code, id) =>
      id.includes("/@bufbuild/protobuf/")
        ? code.replaceAll(written, "var $1 = /*@__PURE__*/ (function ($1) {$2 return $1; })({});")
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

const writer = fileURLToPath(new URL("to-json.js", import.meta.resolve("@bufbuild/protobuf")));

/**
 * The console's messages go as bytes: what would write and read them as JSON is left out. "virtual:whole-json" has what
 * writes it, for what is shown as JSON.
 */
function withoutJson(): Plugin {
  return {
    name: "without-json",
    enforce: "pre",
    resolveId: (id) => (id === "virtual:whole-json" ? `${writer}?whole` : undefined),
    async load(id) {
      if (id === `${writer}?whole`) return await readFile(writer, "utf8");
      if (id.endsWith("/@bufbuild/protobuf/dist/esm/from-json.js")) return none(decoders);
      if (id.endsWith("/@bufbuild/protobuf/dist/esm/to-json.js")) return none(encoders);
      return undefined;
    },
  };
}

/** The console asks and does not send by its cache, which also has what would send. */
function withoutMutations(): Plugin {
  return {
    name: "without-mutations",
    enforce: "pre",
    load(id) {
      if (id.endsWith("/query-core/build/modern/mutationCache.js")) return "export class MutationCache {}";
      if (id.endsWith("/query-core/build/modern/infiniteQueryBehavior.js"))
        return none(["infiniteQueryBehavior", "hasNextPage", "hasPreviousPage"]);
      return undefined;
    },
  };
}

const firstView = join(import.meta.dirname, "app/main.tsx");

type Modules = { getModuleInfo(id: string): { readonly importedIds: readonly string[] } | null };

/** A module and all that it imports when it is loaded. */
function modulesFrom(id: string, modules: Modules, found = new Set<string>()): Set<string> {
  if (found.has(id)) return found;
  found.add(id);
  for (const imported of modules.getModuleInfo(id)?.importedIds ?? []) modulesFrom(imported, modules, found);
  return found;
}

let ofFirstView: Set<string> | undefined;

/** What the first view needs is sent as one file, which compresses better than many. */
const firstFile = (id: string, modules: Modules) =>
  (ofFirstView ??= modulesFrom(firstView, modules)).has(id) ? "first" : null;

/** What loads that file comes before it, and says so if it cannot be loaded. */
const loading = { name: "loading", test: /preload-helper/, priority: 1 };

const inlineImage = /url\("?(data:image(?:[^"\\)]|\\.|\)(?!["} ;,]))*)"?\)/g;

/** What makes protobuf small. */
const lean = (): Plugin[] => [withoutRules(), withoutOptions(), withoutUnreadEnums(), withoutJson()];

export default defineConfig({
  root: import.meta.dirname,
  // The service may be under a path.
  base: "./",
  plugins: [...lean(), withoutMutations(), imagesAsFiles(), precompress()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  css: { modules: { generateScopedName: "[local]-[hash:base64:4]" } },
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
      output: { codeSplitting: { groups: [loading, { name: firstFile }] } },
    },
  },
  worker: { format: "es", plugins: lean },
});
