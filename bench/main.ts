// npm run bench: everything that the README gives figures for, each beside what else does it, on fresh Postgres and Redis
// with their ordinary, durable settings. Writes results.json, results.md and results.svg.
//
//   npm run bench -- --only import,fan-out --who callsheet,limit --runs 1 --contacts 100000
import { mkdir, writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { calls } from "./calls.ts";
import { dispatching } from "./dispatch.ts";
import { fanningOut, importing, whole } from "./import.ts";
import { toMarkdown, toSvg } from "./report.ts";
import { atOnce, idle, spaced } from "./schedule.ts";
import { type Result, type Sizes, runWorkload } from "./workload.ts";

const workloads = [importing, fanningOut, whole, dispatching, spaced, atOnce, calls, idle];

const { values: given } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    who: { type: "string", default: "callsheet,peer,limit" },
    runs: { type: "string", default: "5" },
    contacts: { type: "string", default: "1000000" },
    "peer-contacts": { type: "string", default: "200000" },
    dispatched: { type: "string", default: "20000" },
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

const machine = {
  date: new Date().toISOString().slice(0, 10),
  processor: cpus()[0]?.model.trim() ?? "",
  cores: cpus().length,
  node: process.version,
  loadAtStart: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  runs: Number(given.runs),
};
if (machine.loadAtStart > 0.5)
  say(`the machine is busy already (load ${machine.loadAtStart}); the figures will be poor`);

const results: Result[] = [];

/** After every workload: a run of all of them takes an hour. */
async function save(): Promise<void> {
  await mkdir(given.out, { recursive: true });
  const json = JSON.stringify({ machine, sizes, results }, null, 2);
  await writeFile(join(given.out, "results.json"), `${json}\n`);
  await writeFile(join(given.out, "results.md"), toMarkdown(machine, results));
  await writeFile(join(given.out, "results.svg"), toSvg(results));
}

for (const workload of all) {
  if (!names.includes(workload.name)) continue;
  results.push(await runWorkload(workload, machine.runs, say));
  await save();
}
process.stdout.write(toMarkdown(machine, results));
