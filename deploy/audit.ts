import { execFile } from "node:child_process";
import { z } from "zod";

/*
 * `npm run check:audit`: asks npm for known weaknesses of what Callsheet depends on. Each that is found is either
 * mended, or accepted below with a reason, for a time. That nobody could be asked is said, and is no failure.
 */

export type Accepted = {
  /** Such as `GHSA-xxxx-xxxx-xxxx`. */
  readonly advisory: string;
  /** Why it does no harm here. */
  readonly reason: string;
  /** Last day, as `2027-01-31`; it is looked at again then. */
  readonly until: string;
};

/** None so far. */
export const accepted: readonly Accepted[] = [];

/** What is read of `npm audit --json`: an advisory stands below the package that it is about. */
const report = z.object({
  vulnerabilities: z.record(
    z.string(),
    z.object({
      via: z.array(
        z.union([z.string(), z.object({ url: z.string(), title: z.string(), severity: z.string() })]),
      ),
    }),
  ),
});

function parseJson(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

/**
 * One sentence for each weakness that is not accepted, and for each needless acceptance; undefined without an answer.
 */
export function judge(output: string, acceptances: readonly Accepted[], today: string): string[] | undefined {
  const read = z.preprocess(parseJson, report).safeParse(output);
  if (!read.success) return undefined;
  const found = new Map(
    Object.entries(read.data.vulnerabilities).flatMap(([name, { via }]) =>
      via
        .filter((each) => typeof each === "object")
        .map(({ url, title, severity }) => [
          url.split("/").at(-1) ?? url,
          `${name}: ${title} (${severity}, ${url})`,
        ]),
    ),
  );
  const valid = new Map(
    acceptances.filter(({ until }) => until >= today).map((each) => [each.advisory, each]),
  );
  return [
    ...[...found].filter(([advisory]) => !valid.has(advisory)).map(([, sentence]) => sentence),
    ...acceptances
      .filter(({ advisory }) => !found.has(advisory))
      .map(
        ({ advisory }) => `${advisory} is accepted in deploy/audit.ts and not found any more: take it out`,
      ),
  ];
}

/** What npm answers; it ends with an error when it has found something. */
const ask = (): Promise<string> =>
  new Promise((resolve) => {
    const options = { timeout: 30_000, maxBuffer: 64 * 1024 * 1024 };
    execFile("npm", ["audit", "--json"], options, (_, stdout) => resolve(stdout));
  });

if (import.meta.main) {
  const sentences = judge(await ask(), accepted, new Date().toISOString().slice(0, 10));
  if (sentences === undefined) {
    process.stderr.write("Not audited: npm's registry gave no answer about known weaknesses.\n");
  } else if (sentences.length > 0) {
    process.stderr.write(`${sentences.join("\n")}\n`);
    process.exitCode = 1;
  }
}
