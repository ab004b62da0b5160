/*
 * Takes each guard out in turn, in a copy of the tree, and runs the test that must then fail; first all of these tests
 * with every guard in place. Ends with exit code 1 if a mutant survives, or fails in another way than by its test.
 *
 *   node test/mutants/run.ts [part of a guard's words]…
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { type Mutant, mutants } from "./mutants.ts";

const root = join(import.meta.dirname, "../..");
const atATime = 2;
/** A mutant may make a test hang, which the runner ends after 30 s; this is for what even that does not end. */
const limitMs = 180_000;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

type Result = { readonly isKilled: boolean; readonly how: string };

const reportShape = z.object({
  testResults: z.array(
    z.object({
      message: z.string().optional(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z.array(z.string()).nullish(),
        }),
      ),
    }),
  ),
});

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);

/** A copy of the tree that shares what is not changed. */
async function copyTree(stack: AsyncDisposableStack): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), "callsheet-mutant-"));
  stack.defer(() => rm(copy, { recursive: true, force: true }));
  for (const name of ["src", "test", "package.json", "tsconfig.json", "vitest.config.ts"]) {
    await cp(join(root, name), join(copy, name), { recursive: true });
  }
  // Where Redis is unpacked, if it is not installed.
  await mkdir(join(root, ".callsheet"), { recursive: true });
  for (const name of ["node_modules", ".callsheet", "proto", "bench"])
    await symlink(join(root, name), join(copy, name));
  return copy;
}

const running = new Set<ChildProcess>();
const stop = new AbortController();

/** The tests of these files with these titles: whether each failed, and how. */
async function runTests(tree: string, files: readonly string[], titles: readonly string[]) {
  const report = join(tree, "report.json");
  await rm(report, { force: true });
  const child = spawn(
    process.execPath,
    [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--project",
      "one Redis",
      "--reporter=json",
      `--outputFile=${report}`,
      "-t",
      [...new Set(titles)].map(escape).join("|"),
      ...files,
    ],
    { cwd: tree, stdio: "ignore" },
  );
  running.add(child);
  const timer = setTimeout(() => child.kill("SIGTERM"), limitMs);
  await once(child, "exit");
  clearTimeout(timer);
  running.delete(child);
  const text = await readFile(report, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const { testResults } = reportShape.parse(JSON.parse(text));
  return testResults.flatMap(({ assertionResults }) =>
    assertionResults.map(({ fullName, status, failureMessages }) => ({
      fullName,
      status,
      failure: failureMessages?.[0]?.split("\n")[0] ?? "",
    })),
  );
}

/** Errors that say that the mutant is not what it was meant to be. */
const isBroken = /syntax error|SyntaxError|ReferenceError|is not defined|is not a function|compiling script/;

async function tryOut(tree: string, mutant: Mutant): Promise<Result> {
  const file = join(tree, mutant.file);
  const whole = await readFile(file, "utf8");
  if (whole.split(mutant.text).length !== 2) return { isKilled: false, how: "its text does not occur once" };
  await writeFile(
    file,
    whole.replace(mutant.text, () => mutant.instead),
  );
  try {
    const results = await runTests(tree, [mutant.test], [mutant.title]);
    const named = results?.filter(({ fullName }) => fullName.includes(mutant.title)) ?? [];
    const failed = named.find(({ status }) => status === "failed");
    if (failed !== undefined) return { isKilled: !isBroken.test(failed.failure), how: failed.failure };
    return { isKilled: false, how: named.length === 0 ? "its test did not run" : "SURVIVED" };
  } finally {
    await writeFile(file, whole);
  }
}

/** Every test must pass with all guards in place, or its failure shows nothing. */
async function checkUnchanged(tree: string, chosen: readonly Mutant[]): Promise<string[]> {
  const results =
    (await runTests(
      tree,
      [...new Set(chosen.map(({ test }) => test))],
      chosen.map(({ title }) => title),
    )) ?? [];
  return chosen.flatMap(({ title }) => {
    const named = results.filter(({ fullName }) => fullName.includes(title));
    const passes = named.some(({ status }) => status === "passed");
    return passes && named.every(({ status }) => status !== "failed") ? [] : [title];
  });
}

async function main(): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const words = process.argv.slice(2);
  const chosen = mutants.filter(
    ({ guard }) => words.length === 0 || words.some((word) => guard.includes(word)),
  );
  const trees = [
    await copyTree(stack),
    ...(await Promise.all(Array.from({ length: atATime - 1 }, () => copyTree(stack)))),
  ];
  const [first = root] = trees;
  const failing = await checkUnchanged(first, chosen);
  for (const title of failing) print(`fails or does not run with every guard in place: ${title}`);
  if (failing.length > 0) return 1;

  const left = [...chosen];
  let alive = 0;
  await Promise.all(
    trees.map(async (tree) => {
      for (let mutant = left.shift(); mutant !== undefined && !stop.signal.aborted; mutant = left.shift()) {
        const { isKilled, how } = await tryOut(tree, mutant);
        if (!isKilled) alive += 1;
        print(`${isKilled ? "killed  " : "NOT KILLED"}  ${mutant.guard}\n            ${how.slice(0, 160)}`);
      }
    }),
  );
  print(`${chosen.length - alive} of ${chosen.length} killed`);
  return alive === 0 && !stop.signal.aborted ? 0 : 1;
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    stop.abort();
    for (const child of running) child.kill("SIGTERM");
  });
}
process.exitCode = await main();
