import { existsSync, readFileSync, readdirSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Page, Pages } from "./pages.ts";

/** Where the build of src/console leaves its files. */
export const consoleDirectory = join(import.meta.dirname, "../../../console/dist");

/**
 * The console takes nothing from elsewhere, talks to nobody but this service, runs no script that is not a file of its
 * own, and is shown in no other page.
 */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const secure: Readonly<Record<string, string>> = {
  "content-security-policy": contentSecurityPolicy,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

const types: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** Best first: what the build left beside each file, under which ending. */
const encodings = [
  { encoding: "br", ending: ".br", compress: (bytes: Uint8Array) => brotliCompressSync(bytes) },
  { encoding: "gzip", ending: ".gz", compress: (bytes: Uint8Array) => gzipSync(bytes) },
];

const notBuilt: Page = {
  status: 503,
  body: "The console is not built. To build it run npm ci, without --omit=dev and --ignore-scripts.\n",
};

/** What the addresses of the console's views begin with, which the page at `/` shows. */
export const views: readonly string[] = ["/jobs", "/keys", "/never-call", "/organization", "/webhooks"];

export const isView = (path: string): boolean =>
  views.some((view) => path === view || path.startsWith(`${view}/`));

/**
 * The built console: `/`, `/docs` and the files that they name, read once, sent compressed. All but these two have a
 * hash of their content in their name and are cached for ever; these two name them by whole paths, as `/` is shown at
 * the address of each view. Where there is no build they say how to get it.
 */
export function consolePages(directory: string, basePath = ""): Pages {
  if (!existsSync(join(directory, "index.html"))) return { "/": () => notBuilt, "/docs": () => notBuilt };
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && extname(file.name) in types)
    .map((file) => join(file.parentPath, file.name));
  return Object.fromEntries(
    files.map((file) => {
      const path = `/${relative(directory, file)}`;
      return [path === "/index.html" ? "/" : path.replace(/\.html$/, ""), filePage(file, path, basePath)];
    }),
  );
}

function filePage(file: string, path: string, basePath: string): Pages[string] {
  const headers = {
    ...secure,
    "content-type": types[extname(file)] ?? "application/octet-stream",
    "cache-control": path.startsWith("/assets/") ? "public, max-age=31536000, immutable" : "no-store",
    vary: "accept-encoding",
  };
  const isHtml = extname(file) === ".html";
  const body = isHtml
    ? Buffer.from(readFileSync(file, "utf8").replaceAll('"./', `"${basePath}/`))
    : readFileSync(file);
  const plain: Page = { headers, body };
  const encoded = encodings.map(({ encoding, ending, compress }) => ({
    encoding,
    page: {
      headers: { ...headers, "content-encoding": encoding },
      body: isHtml ? compress(body) : readFileSync(`${file}${ending}`),
    },
  }));
  return ({ headers: { "accept-encoding": accepted = "" } }) =>
    encoded.find(({ encoding }) => accepts(String(accepted), encoding))?.page ?? plain;
}

/** Whether a request with this Accept-Encoding takes the encoding: it is named, and not to say that it is unwanted. */
const accepts = (accepted: string, encoding: string): boolean =>
  accepted.split(",").some((item) => {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    return name === encoding && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
