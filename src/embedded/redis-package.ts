import { existsSync, readdirSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { lastComplaint, run, serverEnvironment } from "./run.ts";

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

type Apt = (...args: string[]) => ReturnType<typeof run>;

/** `apt-get` with lists, cache and locks of its own, so that it neither needs root nor disturbs the system's. */
async function openApt(workspace: string): Promise<Apt> {
  await mkdir(join(workspace, "lists/partial"), { recursive: true });
  await mkdir(join(workspace, "cache/archives/partial"), { recursive: true });
  const settings = [
    `Dir::State::Lists=${workspace}/lists`,
    `Dir::Cache=${workspace}/cache`,
    `Dir::Cache::archives=${workspace}/cache/archives`,
    "Debug::NoLocking=true",
    "APT::Sandbox::User=",
    "Acquire::Languages=none",
    "Acquire::http::Timeout=20",
    "Acquire::https::Timeout=20",
  ];
  const options = settings.flatMap((setting) => ["-o", setting]);
  const env = { ...process.env, ...serverEnvironment(), DEBIAN_FRONTEND: "noninteractive" };
  return (...args) => run("apt-get", ["-q", "-y", ...options, ...args], { env });
}

async function unpackAll(archives: string, root: string): Promise<void> {
  for (const name of await readdir(archives)) {
    if (!name.endsWith(".deb")) continue;
    const { ok, output } = await run("dpkg", ["--extract", join(archives, name), root]);
    if (!ok) throw new Error(lastComplaint(output));
  }
  await run("chmod", ["-R", "a+rX", root]);
}

function libraryDirectories(root: string): string[] {
  const parents = [join(root, "usr/lib"), join(root, "lib")];
  return parents.flatMap((parent) => triplets(parent).map((name) => join(parent, name))).concat(parents);
}

/** Names such as `x86_64-linux-gnu`. */
function triplets(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.includes("-linux-gnu"));
}
