import { execFileSync } from "node:child_process";
import { chmodSync, realpathSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { chooseDataDirectory, holdDataDirectory } from "../../src/embedded/data-directory.ts";
import { kill, nextLine, startScript, temporaryDirectory } from "./support.ts";

const isRoot = process.getuid?.() === 0;

function chosenIn(directory: string): string {
  const script = resolve("src/embedded/data-directory.ts");
  const program = `import { chooseDataDirectory } from ${JSON.stringify(script)};
    process.stdout.write(chooseDataDirectory(undefined));`;
  const args = ["--input-type=module", "--eval", program];
  return execFileSync(process.execPath, args, { cwd: directory, encoding: "utf8" });
}

describe("choosing", () => {
  test("takes the configured directory, from where the service was started", () => {
    expect(chooseDataDirectory("some/where")).toBe(resolve("some/where"));
  });

  test("takes .callsheet in the working directory when none is configured", () => {
    using directory = temporaryDirectory();
    expect(chosenIn(directory.path)).toBe(join(realpathSync(directory.path), ".callsheet"));
  });

  test.runIf(isRoot)("as root leaves a working directory that no other user can enter", () => {
    using directory = temporaryDirectory();
    chmodSync(directory.path, 0o700);
    expect(chosenIn(directory.path)).toBe("/var/lib/callsheet");
  });
});

describe("holding", () => {
  test("refuses a second holder until the first lets go", async () => {
    using directory = temporaryDirectory();
    const first = await holdDataDirectory(directory.path);
    await expect(holdDataDirectory(directory.path)).rejects.toThrow(
      `another Callsheet service is using ${directory.path}`,
    );
    await expect(holdDataDirectory(directory.path)).rejects.toThrow("another Callsheet service");
    await first[Symbol.asyncDispose]();
    await using again = await holdDataDirectory(directory.path);
    expect(again).toBeDefined();
  });

  test("refuses while another process holds, and not once that was killed", async () => {
    using directory = temporaryDirectory();
    await using holder = startScript("holder.ts", directory.path);
    expect(await nextLine(holder.child)).toBe("held");
    await expect(holdDataDirectory(directory.path)).rejects.toThrow("another Callsheet service");
    await kill(holder.child);
    await using hold = await holdDataDirectory(directory.path);
    expect(hold).toBeDefined();
  });

  test("makes the directory when it is not there", async () => {
    using directory = temporaryDirectory();
    await using hold = await holdDataDirectory(join(directory.path, "not", "yet"));
    expect(hold).toBeDefined();
  });
});
