import { readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../../src/console");

const filesOf = (ending: RegExp): string[] =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((file) => ending.test(file) && !file.startsWith("dist"))
    .map((file) => join(root, file));

const classesOf = (sheet: string): Set<string> => {
  const own = readFileSync(sheet, "utf8")
    .replaceAll(/:global\([^)]*\)/g, "")
    .replaceAll(/\/\*.*?\*\//gs, "");
  return new Set([...own.matchAll(/\.([a-zA-Z]\w*)(?=[^{}]*\{)/g)].map(([, name = ""]) => name));
};

/** Where a module is used: the classes that are asked of it, by the name that it is imported under. */
function usesOf(file: string) {
  const text = readFileSync(file, "utf8");
  const code = text.replaceAll(/^import .*$/gm, "");
  return [...text.matchAll(/import (\w+) from "(\.[^"]+\.module\.css)"/g)].map(
    ([, name = "", path = ""]) => ({
      sheet: resolve(dirname(file), path),
      names: [...code.matchAll(new RegExp(String.raw`\b${name}\.(\w+)`, "g"))].map(([, used = ""]) => used),
      /** Some of its classes are chosen as the page runs. */
      isOpen: new RegExp(String.raw`\b${name}\[`).test(code),
    }),
  );
}

const uses = filesOf(/\.tsx?$/).flatMap((file) => usesOf(file));

test.each(filesOf(/\.module\.css$/).map((sheet) => [basename(sheet), sheet] as const))(
  "%s has the classes that are asked of it, and no others",
  (_name, sheet) => {
    const own = classesOf(sheet);
    const users = uses.filter((use) => use.sheet === sheet);
    const asked = new Set(users.flatMap(({ names }) => names));
    expect([...asked].filter((name) => !own.has(name))).toEqual([]);
    const unused = [...own].filter((name) => !asked.has(name));
    expect(users.some(({ isOpen }) => isOpen) ? [] : unused).toEqual([]);
  },
);
