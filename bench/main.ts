// npm run bench: everything that bench/README.md gives figures for, each beside what else does it, on fresh Postgres and
// Redis with their ordinary, durable settings. Writes results.json, results.md and results.svg; a workload that is not run keeps
// the figures that it has there.
//
//   npm run bench -- --only import,fan-out --who callsheet,limit --runs 1 --contacts 100000
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { calls } from "./calls.ts";
import { dispatching } from "./dispatch.ts";
import { exporting } from "./export.ts";
import { fanningOut, importing, whole } from "./import.ts";
import { paths } from "./paths.ts";
import { toMarkdown, toSvg } from "./report.ts";
import { atOnce, idle, spaced } from "./schedule.ts";
import { type Result, type Sizes, runWorkload } from "./workload.ts";

const workloads = [importing, exporting, fanningOut, whole, dispatching, spaced, atOnce, calls, paths, idle];

const { values: given } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    who: { type: "string", default: "callsheet,peer,limit" },
    runs: { type: "string", default: "5" },
    contacts: { type: "string", default: "1000000" },
    "peer-contacts": { type: "string", default: "200000" },
    dispatched: { type: "string", default: "100000" },
    "due-at-once": { type: "string", default: "10000" },
    spaced: { type: "string", default: "300" },
    seconds: { type: "string", default: "5" },
    out: { type: "string", default: join(import.meta.dirname, "results") },
  },
});

const sizes: Sizes = {
  contacts: Number(given.contacts),
  peerContacts: Number(given["peer-contacts"]),
  dispatched: Number(given.dispatched),
  dueAtOnce: Number(given["due-at-once"]),
  spaced: Number(given.spaced),
  seconds: Number(given.seconds),
};
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const all = workloads.map((make) => {
  const { entrants, ...workload } = make(sizes);
  return { ...workload, entrants: entrants.filter(({ role }) => given.who.split(",").includes(role)) };
});
const names = given.only === "" ? all.map(({ name }) => name) : given.only.split(",");
const unknown = names.find((name) => !all.some((workload) => workload.name === name));
if (unknown !== undefined) {
  throw new Error(`There is no workload ${unknown}; there are ${all.map(({ name }) => name).join(", ")}.`);
}

const runs = Number(given.runs);
const load = loadavg()[0] ?? 0;
const circumstances =
  `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC, ${cpus().length} × ${cpus()[0]?.model.trim()}, ` +
  `Node ${process.version}, load ${load.toFixed(1)} before, runs: ${runs}`;
if (load > 0.5) say(`the machine is busy already (load ${load.toFixed(1)}); the figures will be poor`);

const file = join(given.out, "results.json");
const earlier = await readFile(file, "utf8").catch(() => '{"results":[]}');
const results = new Map((JSON.parse(earlier) as { results: Result[] }).results.map((one) => [one.name, one]));

/** After every workload: a run of all of them takes an hour. */
async function save(): Promise<void> {
  await mkdir(given.out, { recursive: true });
  const inOrder = all.flatMap(({ name }) => results.get(name) ?? []);
  await writeFile(file, `${JSON.stringify({ results: inOrder }, null, 2)}\n`);
  await writeFile(join(given.out, "results.md"), toMarkdown(inOrder));
  await writeFile(join(given.out, "results.svg"), toSvg(inOrder));
}

for (const workload of all) {
  if (!names.includes(workload.name)) continue;
  const result = { ...(await runWorkload(workload, runs, say)), circumstances };
  results.set(workload.name, result);
  await save();
  process.stdout.write(toMarkdown([result]));
}
