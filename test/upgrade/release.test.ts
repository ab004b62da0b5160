import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { root } from "../support/readme.ts";
import { findLastRelease } from "./release.ts";

const hasGit = spawnSync("git", ["--version"]).status === 0;
const there = hasGit ? "" : " (needs git)";

const env = {
  PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter),
  HOME: tmpdir(),
  GIT_AUTHOR_NAME: "t",
  GIT_AUTHOR_EMAIL: "t@t",
  GIT_COMMITTER_NAME: "t",
  GIT_COMMITTER_EMAIL: "t@t",
};

/** An empty folder, gone after the test. */
function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "callsheet-history-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function runIn(folder: string, command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: folder, env, encoding: "utf8", stdio: "pipe" }).trim();
}

const unreleased = "# Changelog\n\n## Unreleased\n";

/** A tree with a history in which these versions were released, the last one in its last commit. */
function makeHistory(versions: readonly string[]): { tree: string; commits: string[] } {
  const tree = makeFolder();
  runIn(tree, "git", "init", "-q");
  let changelog = "";
  const commits = versions.map((version) => {
    changelog = `\n## ${version} — 2031-01-01\n${changelog}`;
    writeFileSync(join(tree, "CHANGELOG.md"), unreleased + changelog);
    writeFileSync(join(tree, "package.json"), JSON.stringify({ version }, undefined, 2));
    runIn(tree, "git", "add", ".");
    runIn(tree, "git", "commit", "-q", "-m", version);
    return runIn(tree, "git", "rev-parse", "HEAD");
  });
  return { tree, commits };
}

function goOn(tree: string): void {
  writeFileSync(join(tree, "news"), "");
  runIn(tree, "git", "add", ".");
  runIn(tree, "git", "commit", "-q", "-m", "news");
}

describe.skipIf(!hasGit)(`the last release${there}`, () => {
  test("is the commit that gave the tree its version", () => {
    const { tree, commits } = makeHistory(["0.1.0", "0.2.0", "0.3.0"]);
    goOn(tree);
    expect(findLastRelease(tree)).toEqual({ version: "0.3.0", commit: commits[2] });
  });

  test("is the one before, where the tree itself is one", () => {
    const { tree, commits } = makeHistory(["0.1.0", "0.2.0", "0.10.0"]);
    expect(findLastRelease(tree)).toEqual({ version: "0.2.0", commit: commits[1] });
  });

  test("is the tree itself, where none before it can be run beside it", () => {
    const { tree, commits } = makeHistory(["0.1.0", "0.2.0"]);
    expect(findLastRelease(tree)).toEqual({ version: "0.2.0", commit: commits[1] });
  });

  test("is missing before there is one that can be run beside another", () => {
    expect(findLastRelease(makeHistory(["0.1.0"]).tree)).toEqual({ missing: "a release from 0.2.0 on" });
  });

  test("is missing where the changelog tells of a release that the history lacks", () => {
    const { tree } = makeHistory(["0.1.0"]);
    writeFileSync(join(tree, "CHANGELOG.md"), `${unreleased}\n## 0.3.0 — 2031-01-01\n`);
    expect(findLastRelease(tree)).toEqual({ missing: "the commit that released 0.3.0" });
  });

  test("is missing without the history, or without all of it", () => {
    const { tree } = makeHistory(["0.2.0", "0.3.0"]);
    const shallow = join(makeFolder(), "shallow");
    runIn(tree, "git", "clone", "-q", "--depth", "1", `file://${tree}`, shallow);
    expect(findLastRelease(shallow)).toEqual({ missing: "the whole history" });
    rmSync(join(tree, ".git"), { recursive: true });
    expect(findLastRelease(tree)).toEqual({ missing: "the history" });
  });

  test("is made by npm version: the version, the changelog and the proto, in one commit with a tag", () => {
    const tree = makeFolder();
    const rooted = [
      ".ci",
      ".npmrc",
      "CHANGELOG.md",
      "buf.yaml",
      "package.json",
      "package-lock.json",
      "proto",
    ];
    const names = [...rooted, "deploy/chart/Chart.yaml"];
    for (const name of names) cpSync(join(root, name), join(tree, name), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(tree, "node_modules"));
    writeFileSync(join(tree, ".gitignore"), "node_modules\n");
    writeFileSync(join(tree, "proto/last-release.binpb"), "");
    runIn(tree, "git", "init", "-q");
    runIn(tree, "git", "add", ".");
    runIn(tree, "git", "commit", "-q", "-m", "before");

    runIn(tree, "npm", "version", "98.76.54", "-m", "Release %s");

    expect(runIn(tree, "git", "log", "-1", "--format=%s")).toBe("Release 98.76.54");
    expect(runIn(tree, "git", "tag")).toBe("v98.76.54");
    expect(runIn(tree, "git", "status", "--porcelain")).toBe("");
    const commit = runIn(tree, "git", "rev-parse", "HEAD");
    runIn(tree, "git", "commit", "-q", "--allow-empty", "-m", "after");
    expect(findLastRelease(tree)).toEqual({ version: "98.76.54", commit });
    const changelog = readFileSync(join(tree, "CHANGELOG.md"), "utf8");
    expect(changelog).toMatch(/\n## Unreleased\n\n## 98\.76\.54 — \d{4}-\d\d-\d\d\n/);
    const [, before = ""] = readFileSync(join(root, "CHANGELOG.md"), "utf8").split("## Unreleased\n");
    expect(changelog.endsWith(before)).toBe(true);
    runIn(tree, "npm", "run", "-s", "check:breaking");
  }, 120_000);
});
