import { expect, test } from "vitest";
import { runProgram } from "./support/command.ts";

/** What it says of a call that is wrong. */
async function refusalOf(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await runProgram("src/cli.ts", args, {});
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
  return stderr;
}

test("a command that there is not is answered with those that there are, and starts nothing", async () => {
  expect(await refusalOf("frobnicate")).toBe(
    `error: unknown command 'frobnicate': the commands are start, keys, organizations and doctor\n`,
  );
});

test.each([
  ["start now", "error: start takes no argument, and got 'now'\n"],
  ["keys frobnicate", "error: unknown command 'frobnicate'\n"],
  ["--frobnicate", "error: unknown option '--frobnicate'\n"],
])("callsheet %s is refused in a sentence", async (line, sentence) => {
  expect(await refusalOf(...line.split(" "))).toBe(sentence);
});
