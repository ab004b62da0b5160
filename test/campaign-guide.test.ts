import { execFile } from "node:child_process";
import { mkdtempDisposable } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { quoted, readDocument } from "./support/readme.ts";
import { startTestService } from "./support/service.ts";

/* The guides of campaigns: each step runs as it is written, and answers what it tells. */

type Guide = ReturnType<typeof readDocument>;

const titleOf = ({ text }: Guide): string => text.split("\n")[0] ?? "";
const headingsOf = ({ text }: Guide): string[] => text.split("\n").filter((line) => line.startsWith("## "));

/** All steps, one after the other, in one shell; what each of them prints, by its heading. */
async function runSteps(guide: Guide): Promise<Map<string, string>> {
  await using service = await startTestService();
  await using directory = await mkdtempDisposable(join(tmpdir(), "callsheet-guide-"));
  const steps = headingsOf(guide).map((heading) => `echo "${heading}"\n${guide.code(heading, "sh")}`);
  const script = [guide.code(titleOf(guide), "sh"), ...steps].join("\n");
  const env = { PATH: process.env["PATH"], KEY: service.apiKey };
  const here = script.replaceAll("http://127.0.0.1:8080", service.httpUrl);
  const printed = await new Promise<string>((resolve, reject) => {
    execFile("sh", ["-euc", here], { env, cwd: directory.path }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}\n${stderr}`)),
    );
  });
  const parts = printed.split(/^(?=## )/m).map((part): [string, string] => {
    const [heading = "", ...lines] = part.split("\n");
    return [heading, lines.join("\n")];
  });
  return new Map(parts);
}

/** What a step says that it answers: all that stands in backticks after its code, and is JSON, or a row of CSV. */
const toldBy = (guide: Guide, heading: string): string[] =>
  quoted(guide.section(heading).split("```").at(-1)?.replaceAll("\n", " ") ?? "").filter((text) =>
    /^[{"']/.test(text),
  );

test.each(["docs/campaign.md", "docs/spreadsheet.md"])(
  "the steps of %s run as they are written, and each answers what it tells",
  async (file) => {
    const guide = readDocument(file);
    const printed = await runSteps(guide);
    const missing = headingsOf(guide).flatMap((heading) =>
      toldBy(guide, heading)
        .filter((told) => !printed.get(heading)?.includes(told))
        .map((told) => `${heading}: ${told} is not in ${printed.get(heading)}`),
    );
    expect(missing).toEqual([]);
    expect(headingsOf(guide).flatMap((heading) => toldBy(guide, heading)).length).toBeGreaterThan(15);
  },
  60_000,
);
