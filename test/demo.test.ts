import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startProgram } from "./support/command.ts";
import { eventually } from "./support/eventually.ts";

test(
  "Ctrl-C takes down what the demo has brought up, though npm sends it on",
  { timeout: 60_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "callsheet-test-demo-"));
    await chmod(directory, 0o755);
    try {
      await using demo = startProgram("src/demo/main.ts", { TMPDIR: directory });
      await eventually(async () => {
        const [inside = ""] = await readdir(directory);
        expect(await readdir(join(directory, inside))).toContain("redis");
      }, 40_000);
      demo.child.kill("SIGINT");
      demo.child.kill("SIGTERM");
      expect((await demo.ended).exitCode).toBe(1);
      expect(await readdir(directory)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  },
);
