import { join } from "node:path";
import { expect, test } from "vitest";
import { runTests } from "../support/nested-tests.ts";

/** A race that chooses in two places, the first of which comes later in every other run, and fails. */
const race = `
  import { test } from "vitest";
  import { choicesOf, useSeed } from "${join(import.meta.dirname, "choices.ts")}";
  useSeed();
  test("is lost", () => {
    const places = process.env.TURNED ? ["b", "a"] : ["a", "b"];
    const chosen = places.map((place) => [place, choicesOf(place).next(), choicesOf(place).next()]);
    throw new Error("chosen " + JSON.stringify(chosen.sort()));
  });`;

async function runRace(settings: Record<string, string> = {}) {
  const { status, output } = await runTests({ "race.test.js": race }, settings);
  expect(status).toBe(1);
  return { seed: /RACE_SEED=(\d+)/.exec(output)?.[1] ?? "none", chosen: /chosen .*\]/.exec(output)?.[0] };
}

test("a race that fails tells its seed, which makes the same choices again, in whatever order", async () => {
  const first = await runRace();
  const other = await runRace();
  const again = await runRace({ RACE_SEED: first.seed, TURNED: "yes" });
  expect(first.seed).toMatch(/^\d+$/);
  expect(again).toEqual(first);
  expect(other.chosen).not.toEqual(first.chosen);
});
