// npm run bench: everything that bench/README.md gives figures for, each beside what else does it, on fresh Postgres
// and Redis with their ordinary, durable settings. Writes results.json, results.md and results.svg; a workload that is
// not run keeps the figures that it has there.
//
//   npm run bench -- --quick
//   npm run bench -- --only import,dispatch --who callsheet,limit --runs 1 --contacts 100000
//   npm run bench -- --runs 5 --out bench/figures
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mostLoad, mostStolen } from "./quiet.ts";
import { toMarkdown, toSvg } from "./report.ts";
import { runInTurns } from "./runs.ts";
import { type Result, type Sizes, type Workload, toResults } from "./workload.ts";
import { makeWorkloads } from "./workloads.ts";

const { values: given } = parseArgs({
  options: {
    /** A look: one run of each, a tenth of everything. */
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
    who: { type: "string", default: "callsheet,peer,limit" },
    runs: { type: "string" },
    contacts: { type: "string" },
    "peer-contacts": { type: "string" },
    dispatched: { type: "string" },
    "due-at-once": { type: "string" },
    spaced: { type: "string" },
    seconds: { type: "string" },
    out: { type: "string", default: join(import.meta.dirname, "results") },
  },
});

const scale = given.quick ? 0.1 : 1;
const sizeOf = (asked: string | undefined, usual: number): number =>
  asked === undefined ? Math.ceil(usual * scale) : Number(asked);
const sizes: Sizes = {
  contacts: sizeOf(given.contacts, 1_000_000),
  peerContacts: sizeOf(given["peer-contacts"], 200_000),
  dispatched: sizeOf(given.dispatched, 100_000),
  dueAtOnce: sizeOf(given["due-at-once"], 10_000),
  spaced: sizeOf(given.spaced, 200),
  seconds: sizeOf(given.seconds, 4),
};
const runs = Number(given.runs ?? (given.quick ? 1 : 5));
const say = (line: string): void => void process.stderr.write(`${line}\n`);

const all = makeWorkloads(sizes).map((workload) => ({
  ...workload,
  entrants: workload.entrants.filter(({ role }) => given.who.split(",").includes(role)),
}));
/** A part is named by any of its figures. */
const namesOf = ({ name, also = [] }: Workload): string[] => [name, ...also.map((figure) => figure.name)];
const names = given.only === "" ? all.flatMap(namesOf) : given.only.split(",");
const unknown = names.find((name) => !all.some((workload) => namesOf(workload).includes(name)));
if (unknown !== undefined) {
  throw new Error(`There is no workload ${unknown}; there are ${all.flatMap(namesOf).join(", ")}.`);
}

const circumstances =
  `${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC, ${cpus().length} × ${cpus()[0]?.model.trim()}, ` +
  `Node ${process.version}, load ${(loadavg()[0] ?? 0).toFixed(1)} before, runs: ${runs}`;

const file = join(given.out, "results.json");
const earlier = await readFile(file, "utf8").catch(() => '{"results":[]}');
const results = new Map((JSON.parse(earlier) as { results: Result[] }).results.map((one) => [one.name, one]));

async function save(): Promise<void> {
  await mkdir(given.out, { recursive: true });
  const inOrder = all.flatMap(namesOf).flatMap((name) => results.get(name) ?? []);
  await writeFile(file, `${JSON.stringify({ results: inOrder }, null, 2)}\n`);
  await writeFile(join(given.out, "results.md"), toMarkdown(inOrder));
  await writeFile(join(given.out, "results.svg"), toSvg(inOrder));
}

// The run in hand ends with this process.
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

const took: string[] = [];
let failures = 0;
let disturbances = 0;
for (const workload of all) {
  if (!namesOf(workload).some((name) => names.includes(name))) continue;
  const began = performance.now();
  let ours: Result[] = [];
  // After every turn: what has been measured is kept, whatever becomes of the rest.
  await runInTurns(workload, {
    sizes,
    runs,
    say,
    async noted(outcomes) {
      ours = toResults(workload, outcomes).map((result) => ({ ...result, circumstances }));
      for (const result of ours) results.set(result.name, result);
      await save();
    },
  });
  process.stdout.write(toMarkdown(ours));
  const [{ rows = [] } = {}] = ours;
  failures += rows.reduce((sum, { failed }) => sum + failed, 0);
  disturbances += rows.reduce((sum, { disturbed }) => sum + disturbed, 0);
  took.push(`${workload.name} ${Math.round((performance.now() - began) / 1000)} s`);
}
say(`It took: ${took.join(", ")}.`);
if (disturbances > 0)
  say(
    `Of ${disturbances} runs something else had a part of the machine: more than ${mostLoad} cores before, or ${mostStolen} meanwhile.`,
  );
if (failures > 0) say(`${failures} runs failed; the tables say which.`);
process.exitCode = failures > 0 ? 1 : 0;
