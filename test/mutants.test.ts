import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { mutants } from "./mutants/mutants.ts";
import { quoted, readDocument, root } from "./support/readme.ts";

/*
 * `npm run test:mutants` takes the guards out and takes minutes. This only sees to it that they are where it looks for
 * them.
 */
const read = (file: string) => readFileSync(join(root, file), "utf8");

describe.each(mutants)("the guard: $guard", ({ file, text, instead, test: testFile, title }) => {
  test("stands in its file once, and so does something else in its place", () => {
    expect(read(file).split(text)).toHaveLength(2);
    expect(instead).not.toBe(text);
  });

  test("has its test", () => {
    expect(read(testFile)).toContain(title);
  });
});

test("every guard has words of its own", () => {
  const words = mutants.map(({ guard }) => guard);
  expect(words).toEqual([...new Set(words)]);
});

test("the table of guards has every guard with its test, and no other", () => {
  const rows = readDocument("test/README.md")
    .table("## The guards")
    .rows.map(([guard, file = "", title]) => [guard, quoted(file)[0], title]);
  expect(rows).toEqual(mutants.map(({ guard, test: file, title }) => [guard, file, title]));
});
