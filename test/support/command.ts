import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

export type Ended = { exitCode: number | null; stdout: string; stderr: string };

/** Nothing of our own environment but what a process needs; the settings are the ones given. */
const environment = (settings: Record<string, string>) => ({
  PATH: process.env["PATH"],
  // Programs are started by the hundred: each time but the first they find their modules compiled.
  NODE_COMPILE_CACHE: join(root, "node_modules/.cache/compiled"),
  ...settings,
});

/** Runs one of our programs to its end, of this tree or of another one. */
export function runProgram(
  file:
    | "src/access/keys.ts"
    | "src/access/organizations.ts"
    | "src/doctor/doctor.ts"
    | "src/cli.ts"
    | "src/main.ts"
    | "src/demo/main.ts",
  args: readonly string[],
  settings: Record<string, string>,
  directory = root,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [file, ...args],
      { cwd: directory, env: environment(settings) },
      (_, stdout, stderr) => resolve({ exitCode: child.exitCode, stdout, stderr }),
    );
  });
}

/**
 * Starts one of our programs, of this tree or of another one; it is killed in the end, if it has not ended by itself.
 */
export function startProgram(
  file: "src/main.ts" | "src/demo/main.ts",
  settings: Record<string, string>,
  directory = root,
): AsyncDisposable & {
  child: ChildProcess;
  said: { stdout: string; stderr: string };
  ended: Promise<Ended>;
} {
  const child = spawn(process.execPath, [file], {
    cwd: directory,
    env: environment(settings),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (data) => (said.stdout += String(data)));
  child.stderr.on("data", (data) => (said.stderr += String(data)));
  const ended = once(child, "close").then(() => ({ exitCode: child.exitCode, ...said }));
  return {
    child,
    said,
    ended,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
