import { expect, test } from "vitest";
import { runSoak } from "./run-soak.ts";

const print = (line: string) => void process.stderr.write(`${line}\n`);
const minutes = 2;

test(
  `a soak of ${minutes} minutes with random faults breaks nothing`,
  async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    expect(await runSoak({ minutes, seed, print })).toEqual({ violations: [], badLogLines: [] });
  },
  minutes * 60_000 + 240_000,
);
