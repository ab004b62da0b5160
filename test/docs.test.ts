import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { type DescService, getOption } from "@bufbuild/protobuf";
import { codeToHttpStatus } from "@connectrpc/connect/protocol-connect";
import { expect, test } from "vitest";
import { readConfig } from "../src/config.ts";
import { errorReasons } from "../src/domain/batch-job-error.ts";
import { holdReasons } from "../src/domain/jobs/holds.ts";
import { jobStatuses, stateTable } from "../src/domain/jobs/batch-job.ts";
import { roles } from "../src/domain/caller.ts";
import {
  RateClass,
  Role,
  max_request_bytes,
  rate_class,
  roles as rolesOption,
} from "../src/gen/callsheet/v1/options_pb.ts";
import { codeName, codes } from "../src/rpc/errors.ts";
import { services } from "./service/every-rpc.ts";
import { quoted, readDocument, root } from "./support/readme.ts";
import { toldMetrics } from "./support/told-metrics.ts";

const api = readDocument("proto/README.md");
const operating = readDocument("docs/operating.md");

/** Every document of this repository, but for what `npm run bench` writes. */
const documents = readdirSync(root, { withFileTypes: true })
  .filter(({ name }) => !name.startsWith(".") && name !== "node_modules")
  .flatMap((entry) =>
    entry.isDirectory()
      ? readdirSync(join(root, entry.name), { recursive: true, encoding: "utf8" }).map((file) =>
          join(entry.name, file),
        )
      : [entry.name],
  )
  .filter((file) => file.endsWith(".md") && !file.includes("node_modules") && !file.endsWith("/results.md"));

/** What the table says of a setting that has no default of its own. */
const noDefault = new Set(["embedded", "see below", "none"]);

const read = (file: string) => readFileSync(join(root, file), "utf8");

test("the table of errors has every reason with its code, and no other", () => {
  const rows = api.table("## Errors").rows.map(([reason = "", code = ""]) => [quoted(reason)[0], code]);
  expect(rows).toEqual(
    errorReasons.map((reason) => [reason, `${codeName(codes[reason])} (${codeToHttpStatus(codes[reason])})`]),
  );
});

test("the table of states is the one in the code", () => {
  const { head, rows } = api.table("## States");
  expect(head).toEqual(["command", ...jobStatuses]);
  expect(Object.fromEntries(rows.map(([command = "", ...verdicts]) => [command, verdicts]))).toEqual(
    stateTable,
  );
});

test("the table of holds has every reason, in the order in which they are judged, and no other", () => {
  const { rows } = api.table("## Holds");
  expect(rows.map(([reason = ""]) => quoted(reason)[0])).toEqual([...holdReasons]);
});

/** The roles that may call each method, and the class that its calls are counted by. */
const declaredTerms = (service: DescService) =>
  service.methods.map((method) => {
    const option = getOption(method, rolesOption);
    const names = roles.filter((role) => option.includes(Role[role.toUpperCase() as keyof typeof Role]));
    const rateClass = getOption(method, rate_class);
    const [className = ""] = Object.entries(RateClass).find(([, value]) => value === rateClass) ?? [];
    return [
      method.name,
      ["admin", ...names.filter((name) => name !== "admin")].join(", "),
      className.toLowerCase(),
    ];
  });

test.each(services)(
  "the table of $name has every method of the proto with its roles and its rate, and no other",
  (service) => {
    const rows = api
      .table(`## ${service.name}`)
      .rows.map(([name = "", , who = "", rate = ""]) => [quoted(name)[0], who, rate]);
    expect(rows.toSorted()).toEqual(declaredTerms(service).toSorted());
  },
);

test("the table of limits has the size of every request that has one of its own, and no other", () => {
  const declared = services
    .flatMap(({ methods }) => methods)
    .flatMap((method) => {
      const kib = getOption(method, max_request_bytes) / 1024;
      if (kib === 0) return [];
      return [`${method.name}: ${kib < 1024 ? `${kib} KiB` : `${kib / 1024} MiB`}`];
    });
  const rows = api
    .table("## Limits")
    .rows.filter(([what = ""]) => /^a request of `|^one message of /.test(what))
    .flatMap(([what = "", most = ""]) => quoted(what).map((name) => `${name}: ${most}`));
  expect(rows.toSorted()).toEqual(declared.toSorted());
});

test.each([
  "proto/callsheet/v1/batch_job_service.proto",
  "proto/README.md",
  "deploy/npm/README.md",
  "src/demo/main.ts",
])("%s says that a watch sends messages without a job, as a sign of life", (file) => {
  const told = /without (?:a job|`batch_job`|`batchJob`)[^]{0,80}sign of life/;
  expect(read(file)).toMatch(/watchBatchJobs/i);
  expect(read(file).replaceAll(/\s+(?:\/\/ )?/g, " ")).toMatch(told);
});

test("so do those who follow the event log", () => {
  for (const file of ["docs/events.md", "proto/callsheet/v1/event_service.proto", "deploy/npm/README.md"])
    expect(read(file)).toMatch(/without events/);
});

test("the table of metrics has every metric of the service with its type, labels and help, and no other", async () => {
  const metrics = toldMetrics();
  const declared = metrics.registry
    .getMetricsAsArray()
    .filter(({ name }) => name.startsWith("callsheet_"))
    .map((metric) => {
      const labels = "labelNames" in metric ? (metric.labelNames as string[]) : [];
      return [metric.name, metric.constructor.name.toLowerCase(), labels, metric.help];
    });
  const rows = operating
    .table("## Metrics")
    .rows.map(([name = "", type = "", labels = "", help = ""]) => [
      quoted(name)[0],
      type,
      quoted(labels),
      help,
    ]);
  expect(rows).toEqual(declared);
});

test("the table of rooms has every folder of src/ and every file at its top, and no other", () => {
  const there = readdirSync(join(root, "src"), { withFileTypes: true })
    .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name))
    .filter((name) => name !== "README.md");
  const rows = readDocument("src/README.md").table("## The rooms").rows;
  expect(rows.map(([room = ""]) => quoted(room)[0]).toSorted()).toEqual(there.toSorted());
});

const settings = [...read("src/config.ts").matchAll(/^ {2}([A-Z][A-Z_]+): /gm)].map(([, name = ""]) => name);

test("the table of settings has every setting with its default, and no other", () => {
  const config = readConfig({});
  const defaults: Record<string, unknown> = {
    ...config,
    SHUTDOWN_TIMEOUT: config.SHUTDOWN_TIMEOUT / 1000,
    SHUTDOWN_DELAY: config.SHUTDOWN_DELAY / 1000,
    CONNECTION_MAX_AGE: config.CONNECTION_MAX_AGE / 1000,
    KEEP_ALIVE_TIMEOUT: config.KEEP_ALIVE_TIMEOUT / 1000,
    LONGEST_WAIT: config.LONGEST_WAIT / 1000,
    IMPORT_TIMEOUT: config.IMPORT_TIMEOUT / 1000,
    EXPORT_TIMEOUT: config.EXPORT_TIMEOUT / 1000,
    ESTIMATED_CALL_SECONDS: config.ESTIMATED_CALL_SECONDS / 1000,
  };
  const rows = operating
    .table("## Settings")
    .rows.map(([name = "", shown = ""]) => [
      quoted(name)[0],
      noDefault.has(shown) ? undefined : quoted(shown)[0],
    ]);
  expect(rows).toEqual(
    settings.map((name) => [name, defaults[name] === undefined ? undefined : String(defaults[name])]),
  );
});

test("every test that a promise names is there", () => {
  const files = readDocument("test/README.md")
    .table("## What holds")
    .rows.flatMap((cells) => quoted(cells.at(-1) ?? ""));
  expect(files).not.toEqual([]);
  expect(files.filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

/** As the headings of a document are addressed. */
const anchorsOf = (file: string): string[] =>
  [...read(file).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .replaceAll(" ", "-"),
  );

test.each(documents)("every file, and every heading, that %s links to is there", (document) => {
  const links = [...read(document).matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, link = ""]) => link);
  const missing = links.filter((link) => {
    const [path = "", heading] = link.split("#");
    const file = path === "" ? document : join(dirname(document), path);
    return !existsSync(join(root, file)) || (heading !== undefined && !anchorsOf(file).includes(heading));
  });
  expect(missing).toEqual([]);
});

test("every document is linked to from the README", () => {
  const links = new Set([...read("README.md").matchAll(/\]\(([^)#]+\.md)/g)].map(([, file = ""]) => file));
  expect(documents.filter((file) => file !== "README.md" && !links.has(file))).toEqual([]);
});

/** A document without its blocks of code. */
const proseOf = (document: string): string => read(document).replaceAll(/^ *```.*?^ *```$/gms, "");

/** What is written where the documents say so. */
const written = new Set(["bench/results"]);

test.each(documents)("every file of the repository that %s names is there", (document) => {
  const named = quoted(proseOf(document)).filter((name) =>
    /^(?:bench|deploy|docs|proto|src|test)\/[\w./-]+$/.test(name),
  );
  expect(named.filter((name) => !written.has(name) && !existsSync(join(root, name)))).toEqual([]);
});

/** A setting of a program that a document shows, and what the service warns of as nearly a setting. */
const noSettings = new Set(["WEBHOOK_SECRET", "DATABASE_URI", "CALLSHEET_DATA_DIRECTORY"]);

test.each(documents)("every setting that %s names is there", (document) => {
  const families = new Set(settings.map((name) => name.split("_", 1)[0]));
  const named = quoted(proseOf(document)).filter(
    (name) => /^[A-Z]+(?:_[A-Z]+)+$/.test(name) && families.has(name.split("_", 1)[0]),
  );
  expect(named.filter((name) => !settings.includes(name) && !noSettings.has(name))).toEqual([]);
});

test.each(documents)("every npm script that %s names is there", (document) => {
  const { scripts } = JSON.parse(read("package.json"));
  const named = [...read(document).matchAll(/npm (?:run )?(start|test|(?<=run )[a-z:]+)/g)].map(
    ([, name = ""]) => name,
  );
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

test("no line of a comment is longer than 120 characters, but for the rows of a table", () => {
  const files = ["src", "test", "bench", "deploy", "proto/callsheet"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file)),
  );
  const ours = files.filter(
    (file) =>
      /\.(ts|tsx|js|css|sql|proto|yaml)$/.test(file) &&
      !/\/(node_modules|gen|dist)\/|releases\/.*\.sql$/.test(file),
  );
  const tooLong = ours.flatMap((file) =>
    read(file)
      .split("\n")
      .flatMap((line, i) => (isLongComment(line) ? [`${file}:${i + 1}`] : [])),
  );
  expect(tooLong).toEqual([]);
});

/** Whatever comes behind the mark of a comment; a table has room between its columns. */
function isLongComment(line: string): boolean {
  const [, text = ""] = /^\s*(?:\/\/|\/?\*|--|#)\s*(.*)/.exec(line) ?? [];
  return line.length > 120 && text !== "" && !/\S {3,}\S/.test(text);
}
