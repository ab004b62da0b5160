import { execFile } from "node:child_process";
import { afterAll, expect, test } from "vitest";
import { quoted, readDocument } from "./support/readme.ts";
import { startTestService } from "./support/service.ts";

/* The guide of a campaign over several time zones: each step runs as it is written, and answers what it tells. */

const guide = readDocument("docs/campaign.md");
const headings = guide.text.split("\n").filter((line) => line.startsWith("## "));

const service = await startTestService();
afterAll(() => service[Symbol.asyncDispose]());

/** All steps, one after the other, in one shell; what each of them prints, by its heading. */
async function runSteps(): Promise<Map<string, string>> {
  const steps = headings.map((heading) => `echo "${heading}"\n${guide.code(heading, "sh")}`);
  const script = [guide.code("# A campaign over several time zones", "sh"), ...steps].join("\n");
  const env = { PATH: process.env["PATH"], KEY: service.apiKey };
  const here = script.replaceAll("http://127.0.0.1:8080", service.httpUrl);
  const printed = await new Promise<string>((resolve, reject) => {
    execFile("sh", ["-euc", here], { env }, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${error.message}\n${stdout}\n${stderr}`)),
    );
  });
  const parts = printed.split(/^(?=## )/m).map((part): [string, string] => {
    const [heading = "", ...lines] = part.split("\n");
    return [heading, lines.join("\n")];
  });
  return new Map(parts);
}

/** What a step says that it answers: all that stands in backticks after its code, and is JSON. */
const toldBy = (heading: string): string[] =>
  quoted(guide.section(heading).split("```").at(-1)?.replaceAll("\n", " ") ?? "").filter((text) =>
    /^[{"]/.test(text),
  );

test("the steps of the guide run as they are written, and each answers what it tells", async () => {
  const printed = await runSteps();
  const missing = headings.flatMap((heading) =>
    toldBy(heading)
      .filter((told) => !printed.get(heading)?.includes(told))
      .map((told) => `${heading}: ${told} is not in ${printed.get(heading)}`),
  );
  expect(missing).toEqual([]);
  expect(headings.flatMap(toldBy).length).toBeGreaterThan(15);
}, 60_000);
