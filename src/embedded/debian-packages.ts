import { existsSync, readdirSync } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { lastComplaint, run, serverEnvironment } from "./run.ts";

type Apt = (...args: string[]) => ReturnType<typeof run>;

/** `apt-get` with lists, cache and locks of its own, so that it neither needs root nor disturbs the system's. */
export async function openApt(workspace: string): Promise<Apt> {
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

/** Unpacks every package of a folder into `root`, as it would be unpacked into `/`. */
export async function unpackAll(archives: string, root: string): Promise<void> {
  for (const name of await readdir(archives)) {
    if (!name.endsWith(".deb")) continue;
    const { ok, output } = await run("dpkg", ["--extract", join(archives, name), root]);
    if (!ok) throw new Error(lastComplaint(output));
  }
  await run("chmod", ["-R", "a+rX", root]);
}

/** Where the libraries lie that were unpacked into `root`. */
export function libraryDirectories(root: string): string[] {
  const parents = [join(root, "usr/lib"), join(root, "lib")];
  return parents.flatMap((parent) => triplets(parent).map((name) => join(parent, name))).concat(parents);
}

/** Names such as `x86_64-linux-gnu`. */
function triplets(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory).filter((name) => name.includes("-linux-gnu"));
}
