import { rm } from "node:fs/promises";
import { join } from "node:path";
import { libraryDirectories, openApt, unpackAll } from "../debian-packages.ts";
import { lastComplaint, serverEnvironment } from "../run.ts";

/** What to run to get a server, and the environment that it needs. */
export type RedisBinary = { readonly file: string; readonly env: NodeJS.ProcessEnv };

/** Each with its tools, of which the server is a link in Debian. First the one that more releases have. */
const choices = [
  ["redis-server", "redis-tools"],
  ["valkey-server", "valkey-tools"],
] as const;

/** The servers that may be among the packages unpacked in `root`. */
export function unpackedServers(root: string): RedisBinary[] {
  const env = unpackedEnvironment(root);
  return choices.map(([server]) => ({ file: join(root, "usr/bin", server), env }));
}

/** What a program that was unpacked into `root` needs to find its libraries. */
export const unpackedEnvironment = (root: string): NodeJS.ProcessEnv => ({
  ...serverEnvironment(),
  LD_LIBRARY_PATH: libraryDirectories(root).join(":"),
});

/** Unpacks Redis or Valkey, as `unpackPackages` does. */
export const unpackServer = (root: string, isUsable: () => Promise<boolean>): Promise<void> =>
  unpackPackages(root, choices, isUsable);

/**
 * Downloads the distribution's packages of the first choice that is usable, with those they depend on that are not
 * installed, and unpacks them into `root`. Needs no rights beyond that directory, and changes nothing outside it.
 * Rejects if no choice is usable in the end.
 */
export async function unpackPackages(
  root: string,
  among: readonly (readonly string[])[],
  isUsable: () => Promise<boolean>,
): Promise<void> {
  const workspace = join(root, "apt");
  const apt = await openApt(workspace);
  const update = await apt("update");
  const complaints = /^W: Failed to fetch.*$/m.exec(update.output)?.slice(0, 1) ?? [];
  for (const packages of among) {
    // A package whose older or equal version is installed has to be unpacked all the same.
    const download = await apt(
      "install",
      "--download-only",
      "--no-install-recommends",
      "--reinstall",
      ...packages,
    );
    if (!download.ok) {
      complaints.push(lastComplaint(download.output));
      continue;
    }
    await unpackAll(join(workspace, "cache/archives"), root);
    if (await isUsable()) {
      await rm(workspace, { recursive: true });
      return;
    }
    complaints.push(`${packages[0]} of this system is too old or does not run`);
  }
  throw new Error(complaints[0] ?? lastComplaint(update.output));
}
