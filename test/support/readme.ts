import { readFileSync } from "node:fs";
import { join } from "node:path";

export const root = join(import.meta.dirname, "../..");

const cells = (line: string) =>
  line
    .split("|")
    .slice(1, -1)
    .map((cell) => cell.trim());

/** A file of Markdown, for tests that hold it to the code. */
export function readDocument(file: string) {
  const text = readFileSync(join(root, file), "utf8");

  /** What stands under a heading, up to the next one of its own or a higher level. */
  function section(heading: string): string {
    const lines = text.split("\n");
    const first = lines.indexOf(heading);
    if (first < 0) throw new Error(`${file} has no heading ${heading}`);
    const level = heading.indexOf(" ");
    let isCode = false;
    const length = lines.slice(first + 1).findIndex((line) => {
      if (line.startsWith("```")) isCode = !isCode;
      return !isCode && new RegExp(`^#{1,${level}} `).test(line);
    });
    return lines.slice(first + 1, length < 0 ? undefined : first + 1 + length).join("\n");
  }

  return {
    text,
    section,

    /** The cells of the first table under a heading, without its head. */
    table(heading: string): { head: string[]; rows: string[][] } {
      const [head = "", , ...rows] =
        section(heading)
          .split("\n\n")
          .filter((paragraph) => paragraph.trimStart().startsWith("|"))
          .map((paragraph) => paragraph.trim().split("\n"))[0] ?? [];
      return { head: cells(head), rows: rows.map(cells) };
    },

    /** The first block of code in this language under a heading. */
    code(heading: string, language: string): string {
      const found = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "ms").exec(section(heading))?.[1];
      if (found === undefined) throw new Error(`${heading} in ${file} has no block of ${language}`);
      return found;
    },
  };
}

/** What stands between backticks. */
export const quoted = (text: string): string[] =>
  [...text.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word);
