import { setImmediate as nextTurn } from "node:timers/promises";
import { sql } from "kysely";
import { expect } from "vitest";
import { createBatchJobs } from "../../src/jobs/batch-jobs.ts";
import { createFanOut } from "../../src/starting/fan-out.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { JobKey } from "../../src/redis/keys.ts";
import type { ContactList } from "../../src/redis/contact-list.ts";
import { numbersTo } from "../support/look.ts";
import { keyOf } from "../support/make-many.ts";
import type { Parts } from "../support/parts.ts";
import { type Refusal, describeRefusal } from "../support/refusal.ts";
import { onTwoReplicas } from "../support/replicas.ts";
import { choicesOf, jobPlace, nameJobs, useSeed } from "./choices.ts";

/** A race is run this often: so many jobs at a time, in so many rounds. */
export const jobsAtATime = 25;
export const rounds = 40;

/** For tests that run a race to its end. */
export const raceTimeoutMs = 120_000;

/** Two replicas for all tests of a file. */
export function useTwoReplicas(chunkSizes?: readonly [number, number]) {
  useSeed();
  let replicas: { parts: Parts; other: Parts } | undefined;
  onTwoReplicas((parts, other) => (replicas = { parts, other }), chunkSizes);
  return () => {
    if (replicas === undefined) throw new Error("the replicas are not up yet");
    return replicas;
  };
}

/** A fan-out that works on all jobs of a round at once, over this list. */
export const wideFanOut = ({ db, metrics, logger }: Parts, contactList: ContactList, chunkSize: number) =>
  createFanOut({ db, metrics, logger, contactList, chunkSize, concurrency: jobsAtATime });

/** Lets a small time pass that this place chooses: none, a few turns of the event loop, or queries that do nothing. */
export async function stagger(db: Database, place: string): Promise<void> {
  const choices = choicesOf(place);
  const kind = choices.next();
  const length = choices.next();
  if (kind < 0.4) for (let turns = length * 20; turns > 0; turns -= 1) await nextTurn();
  else if (kind < 0.7)
    for (let queries = length * 3; queries > 0; queries -= 1) await sql`select 1`.execute(db);
}

/** The replica with its lists made and unlinked a random time after the commit, rather than as soon as can be. */
export function lagging(parts: Parts): Parts {
  const { db, redis, contactList: prompt, schedule, fanOut, metrics, logger } = parts;
  const lag = async (job?: JobKey) => {
    const length = choicesOf(job === undefined ? "no list" : `the list of ${jobPlace(job.id)}`).next() * 8;
    for (let pings = length; pings > 0; pings -= 1) await redis.ping();
  };
  const contactList: ContactList = {
    ...prompt,
    async create(job, revision) {
      await lag(job);
      return await prompt.create(job, revision);
    },
    async begin(organizationId, jobs) {
      await lag(jobs[0]?.key);
      return await prompt.begin(organizationId, jobs);
    },
    async unlink(job, revision) {
      await lag(job);
      return await prompt.unlink(job, revision);
    },
  };
  const { begin } = createFanOut({ db, contactList, metrics, logger });
  return {
    ...parts,
    contactList,
    jobs: createBatchJobs({ ...parts, schedule, contactList, fanOut: { ...fanOut, begin } }),
    fanOut: { ...fanOut, begin },
  };
}

function shuffled<T>(items: readonly T[]): T[] {
  const choices = choicesOf("order");
  return items
    .map((item) => ({ item, rank: choices.next() }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/** How one side of a race ended; anything but an answer or a refusal fails the test. */
export type Ended<A> = { answer: A; refused?: undefined } | { answer?: undefined; refused: Refusal };

async function endOf<A>(side: Promise<A>): Promise<Ended<A>> {
  try {
    return { answer: await side };
  } catch (error) {
    return { refused: describeRefusal(error) };
  }
}

/**
 * Runs two sides on each of the jobs. The sides of all jobs are let go at once, in an order by chance, and each then
 * waits a little of its own.
 */
export async function race<A, B>(
  db: Database,
  jobs: readonly BatchJobRow[],
  sideA: (job: BatchJobRow) => Promise<A>,
  sideB: (job: BatchJobRow) => Promise<B>,
): Promise<{ job: BatchJobRow; a: Ended<A>; b: Ended<B> }[]> {
  nameJobs(jobs.map(({ id }) => id));
  const ready: (() => void)[] = [];
  const held = async <R>(place: string, side: () => Promise<R>): Promise<Ended<R>> => {
    const turn = Promise.withResolvers<void>();
    ready.push(turn.resolve);
    await turn.promise;
    await stagger(db, place);
    return await endOf(side());
  };
  const ended = jobs.map(async (job) => {
    const [a, b] = await Promise.all([
      held(`side A of ${jobPlace(job.id)}`, () => sideA(job)),
      held(`side B of ${jobPlace(job.id)}`, () => sideB(job)),
    ]);
    return { job, a, b };
  });
  for (const release of shuffled(ready)) release();
  return await Promise.all(ended);
}

/** Runs a race in rounds and answers what all of them gave. */
export async function inRounds<T>(round: () => Promise<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for (let done = 0; done < rounds; done += 1) all.push(...(await round()));
  return all;
}

/** Runs a race without its guard until the bad thing is seen, in as many rounds at most; answers how often it was. */
export async function untilSeen(round: () => Promise<number>): Promise<number> {
  let seen = 0;
  for (let done = 0; done < rounds && seen === 0; done += 1) seen += await round();
  return seen;
}

/** What is left of each job: its row, its list and position, and the entry that it was made with. */
export async function lookAtAll({ db, redis, keys }: Parts, jobs: readonly BatchJobRow[]) {
  const rows = await db
    .selectFrom("batch_jobs")
    .select(["id", "status", "revision", "start_lag_ms", "scheduled_job_id"])
    .where(
      "id",
      "in",
      jobs.map((job) => job.id),
    )
    .execute();
  const byId = new Map(rows.map((row) => [row.id, row]));
  return await Promise.all(
    jobs.map(async (job) => {
      const row = byId.get(job.id);
      return {
        status: row?.status,
        revision: row?.revision,
        startedByTime: typeof row?.start_lag_ms === "number",
        list: await redis.lrange(keys.contacts(keyOf(job)), 0, -1),
        hasPosition: (await redis.exists(keys.position(keyOf(job)))) === 1,
        oldEntry: job.scheduled_job_id && (await redis.zscore(keys.due, job.scheduled_job_id)),
        entry: row?.scheduled_job_id ? await redis.zscore(keys.due, row.scheduled_job_id) : null,
      };
    }),
  );
}

/** What is left of a job that runs, with its contacts on its list. */
export const running = ({ byTime = false, contacts = 3, revision = 2 } = {}) => ({
  status: "running",
  revision,
  startedByTime: byTime,
  list: numbersTo(contacts),
  hasPosition: true,
  oldEntry: null,
  entry: null,
});

/** Asserts that the race was run to its end, and that each of its sides came first in some of the trials. */
export function expectBothOrders(orders: readonly boolean[]): void {
  expect(orders).toHaveLength(rounds * jobsAtATime);
  expect(new Set(orders)).toEqual(new Set([true, false]));
}

type Removal = { readonly entryRemoved: number | boolean };

/**
 * Asserts that of each entry at most one side says that it took it off, and that somebody does say so. A command that
 * is slow in Redis answers before it knows.
 */
export function expectTruthOfRemovals(trials: readonly Record<"a" | "b", Ended<Removal>>[]): void {
  const counts = trials.map(
    ({ a, b }) => Number(a.answer?.entryRemoved ?? 0) + Number(b.answer?.entryRemoved ?? 0),
  );
  expect(Math.max(...counts)).toBe(1);
}

/** What the scheduler does with one entry that it has claimed. Answers how many entries it took off. */
export const settleDue =
  ({ startDue, fanOut, schedule }: Pick<Parts, "startDue" | "fanOut" | "schedule">) =>
  async ({ scheduled_job_id: scheduledJobId }: BatchJobRow): Promise<{ entryRemoved: number }> => {
    const { done, later, started } = await startDue(scheduledJobId === null ? [] : [scheduledJobId]);
    void fanOut.begin(started);
    await schedule.rescore(later);
    return { entryRemoved: await schedule.removeAll(done) };
  };
