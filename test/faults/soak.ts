// A mixed load on three replicas, with a random fault every ten seconds, and the oracle at the end.
//   npm run soak -- --minutes 20 [--seed N]
import { parseArgs } from "node:util";
import { runSoak } from "./run-soak.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);

const { values } = parseArgs({ options: { minutes: { type: "string" }, seed: { type: "string" } } });
const minutes = Number(values.minutes ?? 2);
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  print("--minutes takes a number above 0, and --seed a whole number");
  process.exit(2);
}
const { violations, badLogLines } = await runSoak({ minutes, seed, campaigns: 6, workers: 4, print });
process.exit(violations.length + badLogLines.length === 0 ? 0 : 1);
