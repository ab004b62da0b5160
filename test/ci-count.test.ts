import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { type TestRun, runTests } from "./support/nested-tests.ts";
import { root } from "./support/readme.ts";

/** The last line of `.ci/run` for a run that ended like this. */
async function lastLine({ status, output }: TestRun): Promise<string> {
  const counting = spawn(join(root, ".ci/count"), [String(status)], { stdio: ["pipe", "pipe", "inherit"] });
  const said = text(counting.stdout);
  counting.stdin.end(output);
  await once(counting, "close");
  return await said;
}

const good = `import { test } from "vitest"; test("a", () => {}); test("b", () => {}); test.skip("c", () => {});`;
const bad = `import { test } from "vitest"; test("a", () => {}); test("b", () => { throw new Error("b"); });`;
const broken = `throw new Error("before its first test");`;
const stumbling = `import { beforeAll, test } from "vitest";
  beforeAll(() => { throw new Error("in a hook"); }); test("a", () => {});`;
const careless = `import { test } from "vitest"; test("a", () => void Promise.reject(new Error("uncaught")));`;

test.concurrent.for([
  ["all tests pass", { "good.test.js": good }, 0, "2 passed, 0 failed"],
  ["a test fails", { "good.test.js": good, "bad.test.js": bad }, 1, "3 passed, 1 failed"],
  [
    "a file fails before its first test",
    { "good.test.js": good, "broken.test.js": broken },
    1,
    "2 passed, 1 failed",
  ],
  ["no file has come to its first test", { "broken.test.js": broken }, 1, "0 passed, 1 failed"],
  ["a hook fails", { "good.test.js": good, "stumbling.test.js": stumbling }, 1, "2 passed, 1 failed"],
  [
    "nobody catches an error",
    { "good.test.js": good, "careless.test.js": careless },
    1,
    "3 passed, 1 failed",
  ],
  [
    "all of this happens at once",
    { "good.test.js": good, "bad.test.js": bad, "broken.test.js": broken, "careless.test.js": careless },
    1,
    "4 passed, 3 failed",
  ],
] as const)("counts right when %s", async ([, files, status, counts]) => {
  const ended = await runTests(files);
  expect(ended.status).toBe(status);
  expect(await lastLine(ended)).toBe(`${counts}\n`);
});

test("counts a check that fails before the tests as one failure", async () => {
  const output = "src/main.ts(1,7): error TS2322: Type 'string' is not assignable to type 'number'.\n";
  expect(await lastLine({ status: 2, output })).toBe("0 passed, 1 failed\n");
});
