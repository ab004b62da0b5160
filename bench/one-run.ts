// One run of one who takes part, in a process of its own: node one-run.ts WORKLOAD ENTRANT SIZES. Prints the sample.
import { parseArgs } from "node:util";
import type { Sizes } from "./workload.ts";
import { makeWorkloads } from "./workloads.ts";

const { positionals } = parseArgs({ allowPositionals: true });
const [workload, entrant, sizes = ""] = positionals;
const found = makeWorkloads(JSON.parse(sizes) as Sizes)
  .find(({ name }) => name === workload)
  ?.entrants.find(({ name }) => name === entrant);
if (found === undefined) throw new Error(`There is no ${entrant} in ${workload}.`);
const sample = await found.run();
process.stdout.write(`\n${JSON.stringify(sample)}\n`, () => process.exit());
