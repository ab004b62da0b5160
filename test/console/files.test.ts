import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { consoleDirectory, consolePages } from "../../src/rpc/http/pages/console-pages.ts";
import { startTestService } from "../support/service.ts";

const stack = new AsyncDisposableStack();
let service: Awaited<ReturnType<typeof startTestService>>;
beforeAll(async () => {
  service = stack.use(await startTestService());
});
afterAll(() => stack.disposeAsync());

/** An answer with its body as it came over the wire. */
function ask(path: string, headers: Record<string, string> = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number | undefined;
    headers: NodeJS.Dict<string | string[]>;
    body: Buffer;
  }>();
  const request = get(`${service.httpUrl}${path}`, { headers }, (response) => {
    buffer(response).then(
      (body) => resolve({ status: response.statusCode, headers: response.headers, body }),
      reject,
    );
  });
  request.on("error", reject);
  return promise;
}

const hash = (content: Uint8Array) => createHash("sha256").update(content).digest("hex");

const assets = readdirSync(join(consoleDirectory, "assets")).filter((name) => !/\.(br|gz)$/.test(name));

describe("the files of the console", () => {
  test("are served strictly: nothing from elsewhere, no script in the page, no frame around it", async () => {
    const { status, headers, body } = await ask("/");
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    });
    const policy = String(headers["content-security-policy"]);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:|data:|blob:/);
    expect(String(body)).not.toMatch(/<script(?![^>]* src=)|<style|\son\w+=/);
  });

  test("have their content's hash in their name, and are kept for ever", async () => {
    expect(assets).not.toEqual([]);
    for (const name of assets) {
      expect(name).toMatch(/-[\w-]{8}\.(js|css|svg)$/);
      const { status, headers, body } = await ask(`/assets/${name}`);
      expect(status).toBe(200);
      expect(headers["cache-control"]).toBe("public, max-age=31536000, immutable");
      expect(headers["content-security-policy"]).toContain("default-src 'none'");
      expect(hash(body)).toBe(hash(readFileSync(join(consoleDirectory, "assets", name))));
    }
  });

  test.each([
    ["gzip, deflate, br, zstd", "br"],
    ["gzip, deflate", "gzip"],
    ["br;q=0, gzip;q=0.5", "gzip"],
    ["identity", undefined],
    ["", undefined],
  ])("are sent as the browser takes them: %j gets %s", async (accepted, encoding) => {
    const script = assets.find((name) => /^index.*\.js$/.test(name)) ?? "";
    const { headers, body } = await ask(`/assets/${script}`, { "accept-encoding": accepted });
    expect(headers["content-encoding"]).toBe(encoding);
    expect(headers["vary"]).toBe("accept-encoding");
    const read = encoding === "br" ? brotliDecompressSync : encoding === "gzip" ? gunzipSync : Buffer.from;
    expect(hash(read(body))).toBe(hash(readFileSync(join(consoleDirectory, "assets", script))));
  });

  test("are those that were built, and nothing beside them", async () => {
    for (const path of [
      "/index.html",
      "/assets/",
      "/assets/../index.html",
      "/assets/nothing.js",
      "/index.html.br",
    ]) {
      expect(await ask(path)).toMatchObject({ status: 404 });
    }
    expect(await fetch(service.httpUrl, { method: "POST" })).toMatchObject({ status: 405 });
  });

  test("say how to get them where they were not built", () => {
    expect(Object.keys(consolePages(join(consoleDirectory, "nowhere")))).toEqual(["/", "/docs"]);
  });
});

type Chunk = {
  file: string;
  imports?: string[];
  dynamicImports?: string[];
  css?: string[];
  isDynamicEntry?: boolean;
};

/** What the build says of its files. */
const manifest = JSON.parse(readFileSync(join(consoleDirectory, ".vite/manifest.json"), "utf8")) as Record<
  string,
  Chunk
>;

/** A chunk and all that it imports when it is loaded. */
function chunksFrom(name: string, found = new Map<string, Chunk>()): Map<string, Chunk> {
  const chunk = manifest[name];
  if (chunk === undefined || found.has(name)) return found;
  found.set(name, chunk);
  for (const imported of chunk.imports ?? []) chunksFrom(imported, found);
  return found;
}

/** As it is sent with gzip, which browsers take over plain HTTP to another machine. */
const sizeOf = (file: string): number => statSync(join(consoleDirectory, `${file}.gz`)).size;

const bytesOf = (chunks: Iterable<Chunk>): number => {
  const files = new Set([...chunks].flatMap(({ file, css = [] }) => [file, ...css]));
  return [...files].reduce((sum, file) => sum + sizeOf(file), 0);
};

const scripts = assets.filter((name) => name.endsWith(".js")).map((name) => `assets/${name}`);

/** Without its hash. */
const nameOf = (script: string): string => script.replace(/^assets\/(.*)-[\w-]{8}\.js$/, "$1");

/** What is no view's. The manifest does not have the files that workers begin with, and what these load themselves. */
const beside: readonly (readonly [name: string, most: number, what: string])[] = [
  ["shared", 30_000, "follows jobs for all tabs of a browser"],
  ["worker", 70_000, "reads a file once one is chosen"],
  ["workbook", 50_000, "reads it if it is a workbook"],
  ["phones", 55_000, "reads a number as it is dialed in its country"],
];
const isBeside = (script: string): boolean => beside.some(([name]) => name === nameOf(script));

describe("what is sent", () => {
  const start = chunksFrom("index.html");
  for (const name of manifest["index.html"]?.dynamicImports ?? []) chunksFrom(name, start);
  const views = Object.entries(manifest).flatMap(([name, { file, isDynamicEntry }]) =>
    isDynamicEntry === true && !start.has(name) && !isBeside(file) ? [name] : [],
  );

  test("first, up to the list of jobs, is at most 70 kB", () => {
    expect(start.size).toBeGreaterThan(1);
    expect(bytesOf(start.values())).toBeLessThanOrEqual(70_000);
  });

  test("for any other view is at most 30 kB more", () => {
    expect(views.filter((name) => name.startsWith("features/"))).not.toEqual([]);
    const sizes = views.map((name) => {
      const more = [...chunksFrom(name)].filter(([imported]) => !start.has(imported));
      return [name, bytesOf(more.map(([, chunk]) => chunk))] as const;
    });
    expect(sizes.filter(([, bytes]) => bytes > 30_000)).toEqual([]);
  });

  test.each(beside)("beside views is small: %s, at most %i bytes, %s", (name, most) => {
    const files = scripts.filter((script) => nameOf(script) === name);
    expect(files).toHaveLength(1);
    expect(files.map(sizeOf).filter((bytes) => bytes > most)).toEqual([]);
  });

  test("is all within these limits, but for the documentation of the API", () => {
    const known = ["docs.html", ...views].flatMap((name) => [...chunksFrom(name).values()]);
    const files = new Set([...start.values(), ...known].map(({ file }) => file));
    expect(scripts.filter((script) => !files.has(script) && !isBeside(script))).toEqual([]);
  });
});
