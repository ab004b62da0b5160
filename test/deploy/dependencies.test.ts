import { readFileSync } from "node:fs";
import { join } from "node:path";
import { format, resolveConfig } from "prettier";
import { expect, test } from "vitest";
import { accepted, judge } from "../../deploy/audit.ts";
import { allowed, licenceDocument, licenceTexts, productionDependencies } from "../../deploy/licences.ts";
import { root } from "../support/readme.ts";

test("every dependency that others get is under a licence that lets anybody use it", () => {
  const others = productionDependencies().filter(({ license }) => !allowed.has(license));
  expect(others.map(({ name, license }) => `${name}: ${license}`)).toEqual([]);
});

test("docs/licences.md is what npm run licences makes", async () => {
  const file = join(root, "docs/licences.md");
  const options = { ...(await resolveConfig(file)), filepath: file };
  expect(readFileSync(file, "utf8")).toBe(await format(licenceDocument(), options));
});

test("every dependency that is built into the package comes with the text of its licence, where it ships one", () => {
  // The text of Apache-2.0 is Callsheet's own.
  const bare = licenceTexts()
    .split("-".repeat(80))
    .filter((part) => !part.trim().includes("\n"))
    .filter((part) => !part.includes("Apache-2.0"))
    .map((part) => part.trim().split(" ")[0]);
  expect(bare.toSorted()).toEqual(["pg-copy-streams", "pg-types", "pgpass", "saxes"]);
});

const weakness = {
  url: "https://github.com/advisories/GHSA-aaaa-bbbb-cccc",
  title: "Reads too far",
  severity: "high",
};
const found = JSON.stringify({ vulnerabilities: { inner: { via: [weakness] }, outer: { via: ["inner"] } } });
const none = JSON.stringify({ vulnerabilities: {} });
const acceptance = { advisory: "GHSA-aaaa-bbbb-cccc", reason: "It is never called.", until: "2030-01-31" };

test.each([
  ["a weakness is a failure", found, [], [`inner: Reads too far (high, ${weakness.url})`]],
  ["an accepted one is none", found, [acceptance], []],
  [
    "one that was accepted until yesterday is a failure",
    found,
    [{ ...acceptance, until: "2030-01-30" }],
    [expect.any(String)],
  ],
  [
    "an acceptance of what is not there any more is a failure",
    none,
    [acceptance],
    [expect.stringContaining("take it out")],
  ],
  ["nothing found is no failure", none, [], []],
  ["an answer that is none is no failure", JSON.stringify({ error: {} }), [], undefined],
  ["no answer at all is no failure", "", [], undefined],
])("of the audit %s", (_, output, acceptances, sentences) => {
  expect(judge(output, acceptances, "2030-01-31")).toEqual(sentences);
});

test("whatever is accepted has a reason, and an end within half a year", () => {
  const latest = new Date(Date.now() + 184 * 86_400_000).toISOString().slice(0, 10);
  expect(accepted.filter(({ reason, until }) => reason.length < 20 || until > latest)).toEqual([]);
});
