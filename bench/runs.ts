import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { mostLoad, mostStolen, untilQuiet, watchCores } from "./quiet.ts";
import type { Entrant, Outcome, Sample, Sizes, Workload } from "./workload.ts";

/** A run waits so long for a quiet machine, and then goes on; all runs together wait no longer than the second. */
const quietPatienceMs = 30_000;
let patienceLeftMs = 5 * 60_000;

/** Several times what the longest one takes. */
const runPatienceMs = 360_000;

/**
 * One run in a process of its own, so that nobody has code compiled by an earlier one, and so that one that hangs can
 * be ended with all that it started.
 */
async function runApart(workload: string, entrant: string, sizes: Sizes): Promise<Sample> {
  const args = [join(import.meta.dirname, "one-run.ts"), workload, entrant, JSON.stringify(sizes)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  const endAll = (signal: NodeJS.Signals) => {
    try {
      process.kill(-(child.pid ?? 0), signal);
    } catch {
      // It has ended.
    }
  };
  const interrupted = () => endAll("SIGTERM");
  process.once("exit", interrupted);
  const overtime = setTimeout(endAll, runPatienceMs, "SIGTERM");
  const longOvertime = setTimeout(endAll, runPatienceMs + 10_000, "SIGKILL");
  try {
    const [output, [code, signal]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    if (code !== 0) throw new Error(signal === null ? `it ended with ${code}` : `it was ended by ${signal}`);
    return JSON.parse(output.trimEnd().split("\n").at(-1) ?? "") as Sample;
  } finally {
    clearTimeout(overtime);
    clearTimeout(longOvertime);
    process.off("exit", interrupted);
    // Whatever it has left behind.
    endAll("SIGKILL");
  }
}

/**
 * Runs those who take part in turn, so that what else the machine does strikes all alike. A run that fails is counted,
 * and the others go on. Answers what became of the runs of each; `noted` is told after every turn.
 */
export async function runInTurns(
  { name: workload, entrants, unit }: Workload,
  options: {
    readonly sizes: Sizes;
    readonly runs: number;
    readonly say: (line: string) => void;
    readonly noted: (outcomes: readonly (readonly Outcome[])[]) => Promise<void>;
  },
): Promise<void> {
  const { sizes, runs, say, noted } = options;
  const outcomes = entrants.map((): Outcome[] => []);

  async function run({ name }: Entrant, turn: string): Promise<Outcome> {
    const asked = performance.now();
    const load = await untilQuiet(Math.min(quietPatienceMs, patienceLeftMs));
    patienceLeftMs = Math.max(0, patienceLeftMs - (performance.now() - asked));
    const isBusy = load > mostLoad;
    if (isBusy) say(`${turn} ${name}: goes on while ${load.toFixed(1)} cores are busy with something else`);
    const began = performance.now();
    const watched = await watchCores();
    /** Whether anything else than the run kept the machine busy. */
    async function isDisturbed(): Promise<boolean> {
      const { stolen } = await watched();
      if (stolen > mostStolen)
        say(`${turn} ${name}: meanwhile ${stolen.toFixed(2)} of a core were lent to other machines`);
      return isBusy || stolen > mostStolen;
    }
    try {
      const sample = await runApart(workload, name, sizes);
      const seconds = Math.round((performance.now() - began) / 1000);
      const others = Object.entries(sample.also ?? {}).map(
        ([figure, { value }]) => `, ${figure} ${round(value)}`,
      );
      say(`${turn} ${name}: ${round(sample.value)} ${unit}${others.join("")} (the run took ${seconds} s)`);
      return { sample, isDisturbed: await isDisturbed() };
    } catch (error) {
      say(`${turn} ${name} failed: ${String(error)}`);
      return { sample: undefined, isDisturbed: await isDisturbed() };
    }
  }

  for (let turn = 1; turn <= runs; turn += 1) {
    for (const [i, entrant] of entrants.entries()) {
      outcomes[i]?.push(await run(entrant, `${workload} ${turn}/${runs}`));
    }
    await noted(outcomes);
  }
}

const round = (value: number): number => Math.round(value * 10) / 10;
