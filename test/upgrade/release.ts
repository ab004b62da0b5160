import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { root } from "../support/readme.ts";

const run = promisify(execFile);

/** A version that was released, and the commit that did it. */
export type Release = { readonly version: string; readonly commit: string };

/** From this one on, a version runs beside the one before it. */
const firstRolling = "0.2.0";

const isRolling = (version: string): boolean =>
  version.localeCompare(firstRolling, undefined, { numeric: true }) >= 0;

/**
 * The last release before what is in a tree, or what is missing to find it. Where the tree is the first release that
 * may be told from another, it is that one.
 */
export function findLastRelease(tree = root): Release | { readonly missing: string } {
  const git = (...args: string[]): string =>
    execFileSync("git", ["-c", "safe.directory=*", "-C", tree, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();

  const changelog = readFileSync(join(tree, "CHANGELOG.md"), "utf8");
  const versions = [...changelog.matchAll(/^## (\d+\.\d+\.\d+)/gm)].map(([, version = ""]) => version);
  const rolling = versions.filter(isRolling);
  if (rolling.length === 0) return { missing: `a release from ${firstRolling} on` };
  try {
    // A tree in somebody else's repository has no history of its own, and a shallow clone begins with all that was.
    const isWhole =
      git("rev-parse", "--show-prefix") === "" && git("rev-parse", "--is-shallow-repository") === "false";
    if (!isWhole) return { missing: "the whole history" };
    const releases = rolling.flatMap((version) => {
      const text = `"version": "${version}"`;
      const [commit = ""] = git("log", "--reverse", "--format=%H", `-S${text}`, "--", "package.json").split(
        "\n",
      );
      return commit === "" ? [] : [{ version, commit }];
    });
    const head = git("rev-parse", "HEAD");
    return (
      releases.find(({ commit }) => commit !== head) ??
      releases[0] ?? { missing: `the commit that released ${rolling[0]}` }
    );
  } catch {
    return { missing: "the history" };
  }
}

/** What a lockfile has installed; the version of the tree itself is left out. */
function packagesOf(lockfile: string): string {
  const { packages } = JSON.parse(lockfile) as { packages: Record<string, object> };
  return JSON.stringify({ ...packages, "": undefined });
}

/** The files of a release in a folder of their own, installed as in production. */
export async function installRelease({
  commit,
}: Release): Promise<AsyncDisposable & { readonly directory: string }> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "callsheet-release-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const archive = join(directory, "release.tar");
  const files = ["package.json", "package-lock.json", ".npmrc", "src"];
  await run("git", ["-c", "safe.directory=*", "-C", root, "archive", "-o", archive, commit, ...files]);
  await run("tar", ["-xf", archive, "-C", directory]);
  const [theirs, ours] = [directory, root].map((tree) =>
    packagesOf(readFileSync(join(tree, "package-lock.json"), "utf8")),
  );
  if (theirs === ours) {
    await symlink(join(root, "node_modules"), join(directory, "node_modules"));
  } else {
    const args = [
      "ci",
      "--omit=dev",
      "--omit=optional",
      "--ignore-scripts",
      "--prefer-offline",
      "--no-audit",
    ];
    await run("npm", args, { cwd: directory });
  }
  const installed = stack.move();
  return { directory, [Symbol.asyncDispose]: () => installed.disposeAsync() };
}
