import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Makes `directory` with what `fill` puts into it, whole or not at all; left alone if it is there. What a killed
 * attempt left behind is removed. Two attempts at once must be excluded by the caller.
 */
export async function makeWholeDirectory(
  directory: string,
  fill: (fresh: string) => Promise<void>,
): Promise<void> {
  if (existsSync(directory)) return;
  await removeLeftovers(directory);
  // A new name each time: a tool that outlived its killed attempt must not write into ours.
  const fresh = `${directory}.${randomBytes(6).toString("hex")}.new`;
  try {
    await mkdir(fresh);
    await chmod(fresh, 0o711);
    await fill(fresh);
    await rename(fresh, directory);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  }
  await persistNames(dirname(directory));
}

async function removeLeftovers(directory: string): Promise<void> {
  const prefix = `${basename(directory)}.`;
  for (const name of await readdir(dirname(directory))) {
    if (!name.startsWith(prefix) || !name.endsWith(".new")) continue;
    await rm(join(dirname(directory), name), { recursive: true, force: true, maxRetries: 5 });
  }
}

/** A rename is on disk only once its directory is. */
async function persistNames(directory: string): Promise<void> {
  await using handle = await open(directory, "r");
  await handle.sync();
}
