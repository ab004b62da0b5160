import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startLoad } from "../faults/load.ts";
import { type System, settled, startSystem } from "../faults/system.ts";
import { type Stories, tellStories } from "../faults/stories.ts";
import { runProgram } from "../support/command.ts";
import { eventually } from "../support/eventually.ts";
import { root } from "../support/readme.ts";
import { findLastRelease, installRelease } from "./release.ts";

/*
 * The last release and this tree, side by side on one Postgres and one Redis. Replicas are replaced one after
 * another, while workers work and clients with ordinary retries go on; then back again, for a release that proves
 * wrong is taken back.
 */

const isFull = process.env["UPGRADE"] === "full";
const size = isFull
  ? { replicas: 3, rounds: 5, atEachStep: 30, load: { campaigns: 4, workers: 3, errs: true } }
  : { replicas: 2, rounds: 1, atEachStep: 5, load: { campaigns: 2, workers: 1, errs: false } };

/** For so long a machine that is short of breath may answer nobody, whatever its replicas do. */
const telling = isFull ? { atATime: 6, patienceMs: 60_000 } : { atATime: 3 };

/** How long a step may take on a machine that is busy; some seconds on one that is not. */
const stepMs = isFull ? 300_000 : 60_000;

const release = findLastRelease();
const isMissing = "missing" in release;
const from = isMissing ? `the last release (needs ${release.missing})` : release.version;

let old = "";
const cleanUp = new AsyncDisposableStack();
beforeAll(async () => {
  if (!isMissing) old = cleanUp.use(await installRelease(release)).directory;
}, 120_000);
afterAll(() => cleanUp.disposeAsync());

/**
 * A key of an organization whose jobs are left to those who tell stories, made by the program of a tree; it makes the
 * schema.
 */
async function makeStoryKey(databaseUrl: string, tree: string): Promise<string> {
  const args = ["create", "--organization", "stories", "--role", "admin", "--name", "stories"];
  const { exitCode, stdout, stderr } = await runProgram(
    "src/access/keys.ts",
    args,
    { DATABASE_URL: databaseUrl },
    tree,
  );
  const key = /\bcs_\S+/.exec(stdout)?.[0];
  if (exitCode !== 0 || key === undefined) throw new Error(`there is no key: ${stdout}${stderr}`);
  return key;
}

/** Grows with what a replica answers those who tell stories. */
const toldHere = `callsheet_rpc_seconds_count{method="callsheet.v1.BatchJobService/ListContacts"}`;

/**
 * Replaces one replica after another by the program of a tree. Each step is over when that one has its part of the
 * work.
 */
async function replaceAll(system: System, stories: Stories, trees: string[], tree: string): Promise<void> {
  for (const [i, replica] of system.replicas.entries()) {
    const before = stories.told();
    expect(await replica.stop()).toMatchObject({ exitCode: 0 });
    trees[i] = tree;
    await replica.start();
    await eventually(async () => {
      expect([...stories.failures, ...system.badLogLines().slice(0, 5)]).toEqual([]);
      expect(await replica.metric(toldHere)).toBeGreaterThan(0);
      expect(stories.told()).toBeGreaterThanOrEqual(before + size.atEachStep);
    }, stepMs);
  }
}

/** Which tree was there first, and which ones take over one after the other. */
const orders = [
  { title: "the release was there first", first: () => old, next: () => [root, old] },
  { title: "this tree was there first", first: () => root, next: () => (isFull ? [old, root] : [old]) },
];

describe.skipIf(isMissing).each(orders)(
  `where ${from} and this tree meet, and $title,`,
  ({ first, next }) => {
    test(
      "replicas replace each other under load: no call fails, and nothing is wrong",
      async () => {
        const running = Array.from({ length: size.replicas }, first);
        let key = "";
        await using system = await startSystem({
          replicas: size.replicas,
          seed: 15,
          directory: (i) => running[i] ?? first(),
          makeSchema: async (databaseUrl) => void (key = await makeStoryKey(databaseUrl, first())),
        });
        await using stories = tellStories(system.replicas, key, telling);
        {
          await using load = startLoad(system, { ...size.load, usesNew: false });
          await eventually(() => expect(stories.told()).toBeGreaterThan(size.atEachStep), stepMs);
          for (let round = 0; round < size.rounds; round += 1) {
            for (const tree of next()) await replaceAll(system, stories, running, tree);
          }
          await stories.stop();
          expect(load.finished()).toBeGreaterThan(0);
        }
        expect(stories.failures).toEqual([]);
        expect(await settled(system)).toEqual([]);
        expect(system.badLogLines()).toEqual([]);
      },
      isFull ? 3_600_000 : 300_000,
    );
  },
);
