import { closeSync, constants, existsSync, openSync } from "node:fs";
import { run } from "./run.ts";

/**
 * A lifeline is a named pipe that a server and all its children hold open for reading, as their standard input. The
 * kernel then knows whether any of them lives; a process id in a file may by now be somebody else's.
 */
export async function makeLifeline(path: string): Promise<void> {
  if (existsSync(path)) return;
  const made = await run("mkfifo", ["-m", "600", path]);
  if (!made.ok) {
    throw new Error(
      `cannot make a named pipe (${made.output}): set CALLSHEET_DATA_DIR to a directory on a local disk`,
    );
  }
}

/** Opens the end that a server is to hold, without waiting for anybody at the other. */
export function openLifeline(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** Whether anybody holds it; there need not be one. */
export function isHeld(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && (error.code === "ENXIO" || error.code === "ENOENT")) {
      return false;
    }
    throw error;
  }
}
