import { relative } from "node:path";
import { beforeEach } from "vitest";
import { type Random, createRandom, seedFrom } from "../support/random.ts";
import { root } from "../support/readme.ts";

/*
 * What a race leaves to chance (who goes first, how long each waits) comes from a seed, which a test that fails tells.
 * The same seed makes the same choices in the same places again, whoever comes to them first. When the operating
 * system, Postgres and Redis run what was let go is not in our hand, so that a race may still need several tries to
 * end as it did.
 */
const seed = Number(process.env["RACE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let test = "";
let places = new Map<string, Random>();
let jobs = new Map<string, number>();

/** The choices of a place that makes them one after the other. */
export function choicesOf(place: string): Random {
  const random = places.get(place) ?? createRandom(seedFrom(seed, `${test}: ${place}`));
  places.set(place, random);
  return random;
}

/** The place of a job that races: its ids are new each time, its number among the others is not. */
export const jobPlace = (jobId: string): string => `job ${jobs.get(jobId)}`;

export function nameJobs(jobIds: readonly string[]): void {
  jobs = new Map(jobIds.map((jobId, i) => [jobId, i]));
}

/** For the top of a file of races. */
export function useSeed(): void {
  beforeEach(({ task, onTestFailed }) => {
    test = task.name;
    places = new Map();
    onTestFailed(() => {
      const replay = `RACE_SEED=${seed} npx vitest run --project '${task.file.projectName}' ${relative(root, task.file.filepath)}`;
      for (const error of task.result?.errors ?? [])
        error.message += `\n\nTo play it with the same choices: ${replay} -t '${task.name}'`;
    });
  });
}
