import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";
import { root } from "./support/readme.ts";

/** Which rooms of src/ (folders, and the files at its top) may import from which. `gen` is what the proto says. */
const allowed: Record<string, readonly string[]> = {
  // Programs: settings → servers → service → stop.
  "main.ts": ["config.ts", "service.ts", "embedded", "jobs", "postgres", "rpc", "vitals"],
  "cli.ts": ["main.ts", "access", "doctor"],
  demo: ["service.ts", "domain", "embedded", "gen", "vitals", "worker"],
  access: ["config.ts", "domain", "embedded", "jobs", "postgres", "redis", "timing", "vitals"],
  doctor: ["config.ts", "domain", "embedded", "postgres", "redis", "rpc"],
  // What a setting is when nobody sets it is said where it is used.
  "config.ts": ["domain", "jobs", "postgres"],
  // The composition root.
  "service.ts": [
    "access",
    "domain",
    "events",
    "gen",
    "jobs",
    "leasing",
    "postgres",
    "redis",
    "rest",
    "rpc",
    "starting",
    "suppression",
    "vitals",
    "webhooks",
  ],
  rpc: [
    "access",
    "domain",
    "events",
    "gen",
    "jobs",
    "leasing",
    "suppression",
    "timing",
    "vitals",
    "webhooks",
  ],
  // In front of the same gate and inside of the same interceptors as the RPCs.
  rest: ["domain", "gen", "jobs", "rpc"],
  events: ["domain", "postgres", "timing", "vitals"],
  webhooks: ["access", "domain", "events", "jobs", "postgres", "timing", "vitals"],
  suppression: ["domain", "files", "jobs", "postgres"],
  jobs: ["domain", "files", "postgres", "redis", "starting", "timing", "vitals"],
  leasing: ["domain", "postgres", "redis", "timing", "vitals"],
  starting: ["domain", "postgres", "redis", "timing", "vitals"],
  vitals: ["domain", "postgres", "redis", "timing"],
  postgres: ["domain", "timing"],
  redis: ["domain", "timing"],
  files: ["domain"],
  embedded: ["domain"],
  domain: [],
  timing: [],
  // What others install: it knows the wire, and nothing of the service.
  worker: ["gen", "timing"],
  client: ["gen"],
  console: ["domain", "files", "gen"],
};

const filesOf = (folder: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => /\.tsx?$/.test(file))
    .map((file) => join(folder, file))
    .filter((file) => !file.startsWith("src/gen/") && !file.startsWith("src/console/dist/"));

const roomOf = (file: string): string => file.split("/")[1] ?? "";

/** The imports of another room's files, as `file → file`. */
const imports = filesOf("src").flatMap((file) =>
  [...readFileSync(join(root, file), "utf8").matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)]
    .map(([, path = ""]) => relative(root, resolve(root, dirname(file), path)))
    .filter((target) => roomOf(target) !== roomOf(file))
    .map((target) => ({ file, target })),
);

test("no file imports from a room that its own may not import from", () => {
  const wrong = imports.filter(({ file, target }) => !allowed[roomOf(file)]?.includes(roomOf(target)));
  expect(wrong.map(({ file, target }) => `${file} → ${target}`)).toEqual([]);
});

test("all arrows that are allowed go the way that src/README.md draws", () => {
  const [, drawn = ""] =
    /^Arrows go one way: ([^.]+)\./m.exec(readFileSync(join(root, "src/README.md"), "utf8")) ?? [];
  const steps = drawn.split("→").map((step) => [...step.matchAll(/`(\w+)`/g)].map(([, room = ""]) => room));
  const stepOf = (room: string): number =>
    steps.findIndex((rooms) => rooms.includes(room.replace(/\.ts$/, "")));
  const arrows = Object.entries(allowed).flatMap(([from, targets]) => targets.map((to) => ({ from, to })));
  const between = arrows.filter(({ from, to }) => stepOf(from) >= 0 && stepOf(to) >= 0);
  expect(between.length).toBeGreaterThan(40);
  expect(between.filter(({ from, to }) => stepOf(from) >= stepOf(to))).toEqual([]);
});

/** Which folders of the console may import from which; a feature only from itself. */
const withinConsole: Record<string, readonly string[]> = {
  app: ["features", "ui", "data"],
  features: ["ui", "data"],
  ui: ["data"],
  data: [],
};

function placeOf(file: string) {
  const [, , folder = "", feature = ""] = file.split("/");
  return { folder, feature: folder === "features" ? feature : "" };
}

test("no file of the console imports from a folder that its own may not import from", () => {
  const wrong = filesOf("src/console").flatMap((file) => {
    const from = placeOf(file);
    const rights = withinConsole[from.folder];
    if (rights === undefined) return [];
    return [
      ...readFileSync(join(root, file), "utf8").matchAll(/(?:from|import|new URL)\s*\(?\s*"(\.[^"]+)"/g),
    ]
      .map(([, path = ""]) => relative(root, resolve(root, dirname(file), path)))
      .filter((target) => target.startsWith("src/console/"))
      .filter((target) => {
        const to = placeOf(target);
        const isOwn = to.folder === from.folder && to.feature === from.feature;
        return !isOwn && !rights.includes(to.folder);
      })
      .map((target) => `${file} → ${target}`);
  });
  expect(wrong).toEqual([]);
});

test("tables, their rows and the statements on them are known in postgres/ alone", () => {
  const others = filesOf("src").filter((file) => roomOf(file) !== "postgres");
  const knowing = others.filter((file) =>
    /from "(kysely|.*\/postgres\/(schema\/tables|jobs\/job-rows)\.ts)"/.test(
      readFileSync(join(root, file), "utf8"),
    ),
  );
  expect(knowing).toEqual([]);
});

test("no folder has more files than a newcomer takes in at a look", () => {
  const inFolder = Map.groupBy(
    filesOf("src").filter((file) => !file.includes("/migrations/")),
    dirname,
  );
  const full = [...inFolder].filter(([, files]) => files.length > 18).map(([folder]) => folder);
  expect(full).toEqual([]);
});

test("every arrow that is allowed is there", () => {
  const there = new Set(imports.map(({ file, target }) => `${roomOf(file)} → ${roomOf(target)}`));
  const all = Object.entries(allowed).flatMap(([room, others]) =>
    others.map((other) => `${room} → ${other}`),
  );
  expect(all.filter((arrow) => !there.has(arrow))).toEqual([]);
});

test("no arrows go in a circle", () => {
  const left = new Map(Object.entries(allowed).map(([room, others]) => [room, new Set(others)]));
  for (let last = -1; last !== left.size;) {
    last = left.size;
    for (const [room, others] of left) {
      for (const other of others) if (!left.has(other)) others.delete(other);
      if (others.size === 0) left.delete(room);
    }
  }
  expect([...left.keys()]).toEqual([]);
});
