import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./readme.ts";

/** The test runner's own words, and how it ended. */
export type TestRun = { readonly status: number; readonly output: string };

/** Runs test files of these names and contents, for tests of what a run says. */
export async function runTests(
  files: Record<string, string>,
  settings: Record<string, string> = {},
): Promise<TestRun> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "callsheet-tests-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  await symlink(join(root, "node_modules"), join(directory, "node_modules"));
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content);
  const args = [join(root, "node_modules/vitest/vitest.mjs"), "run"];
  const env = { PATH: process.env["PATH"], FORCE_COLOR: "1", ...settings };
  return await new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: directory, env }, (error, stdout, stderr) =>
      resolve({ status: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}
