import { execFile } from "node:child_process";
import type { Account } from "./account.ts";

export type RunOptions = {
  readonly account?: Account | undefined;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
};

/** What servers and their tools get to see of our environment; their messages are in English, their time is UTC. */
export function serverEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env["PATH"], HOME: "/", LC_ALL: "C", TZ: "UTC" };
}

/** Runs a tool to its end; one that cannot be started is one that failed. */
export function run(
  command: string,
  args: readonly string[],
  { account, env = serverEnvironment(), input = "" }: RunOptions = {},
): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const settings = { ...account, env, cwd: "/", maxBuffer: 16 * 1024 * 1024 };
    const child = execFile(command, args, settings, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim();
      resolve({ ok: error === null, output: output || (error?.message ?? "") });
    });
    child.stdin?.on("error", () => {}); // a tool that ends before it has read its input
    child.stdin?.end(input);
  });
}

/**
 * The line of a tool's output or a server's log that most likely says what went wrong: the last error, else the last
 * line.
 */
export function lastComplaint(output: string): string {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const complaints = lines.filter((line) => /error|fatal|^E:/i.test(line));
  return (complaints.at(-1) ?? lines.at(-1) ?? "it said nothing").trim();
}
