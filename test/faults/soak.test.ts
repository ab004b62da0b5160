import { expect, test } from "vitest";
import { runSoak } from "./run-soak.ts";

const print = (line: string) => void process.stderr.write(`${line}\n`);
const minutes = 2;

test(
  `a soak of ${minutes} minutes with random faults breaks nothing`,
  async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    // Half the load of `npm run soak`: the other tests run beside it.
    const load = { campaigns: 3, workers: 2 };
    expect(await runSoak({ minutes, seed, ...load, print })).toEqual({ violations: [], badLogLines: [] });
  },
  minutes * 60_000 + 240_000,
);
