import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createServer } from "node:net";
import type { Account } from "./account.ts";
import { openLifeline } from "./lifeline.ts";

export type Command = {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly account: Account | undefined;
};

/**
 * Starts a server that outlives us and holds the lifeline, and answers its process id. It is in a process group of its
 * own, so that a terminal's Ctrl-C does not reach it before its owner is done with it. What it says is added to the
 * log.
 */
export async function spawnDetached(
  { file, args, env, account }: Command,
  lifelinePath: string,
  logPath: string,
): Promise<number> {
  const lifeline = openLifeline(lifelinePath);
  const log = openSync(logPath, "a", 0o600);
  try {
    const stdio = [lifeline, log, log];
    const child = spawn(file, args, { ...account, env, cwd: "/", detached: true, stdio });
    await once(child, "spawn");
    child.unref();
    if (child.pid === undefined) throw new Error(`${file} has no process id`);
    return child.pid;
  } finally {
    closeSync(lifeline);
    closeSync(log);
  }
}

/** A process that has gone already is no error. */
export function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no port is free on 127.0.0.1");
  return address.port;
}
