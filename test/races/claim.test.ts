import { describe, expect, test } from "vitest";
import { runSchedulerPass } from "../../src/starting/scheduler.ts";
import type { Schedule } from "../../src/redis/schedule.ts";
import { eventually } from "../support/eventually.ts";
import { entryIdOf, makeJobs, makeJobsWithKeys } from "../support/make-many.ts";
import type { Parts } from "../support/parts.ts";
import {
  inRounds,
  jobsAtATime,
  lookAtAll,
  race,
  raceTimeoutMs,
  rounds,
  running,
  settleDue,
  stagger,
  untilSeen,
  useTwoReplicas,
} from "./harness.ts";
import { claimUnguarded, startUnguarded } from "./unguarded.ts";

const replicas = useTwoReplicas();

const started = running({ byTime: true });

/** How many jobs a replica has started because their time had come. */
async function startsOf({ metrics }: Parts): Promise<number> {
  const { values } = await metrics.startLagSeconds.get();
  return values.find(({ metricName }) => metricName?.endsWith("_count") === true)?.value ?? 0;
}

/** Runs passes until `isOver` says so, and answers the entries that the replica was given. */
async function passesOf(
  place: string,
  parts: Parts,
  schedule: Schedule,
  isOver: () => boolean,
): Promise<string[]> {
  const given: string[] = [];
  const recorded: Schedule = {
    ...schedule,
    async claim(nowMs, limit, holdMs) {
      const claimed = await schedule.claim(nowMs, limit, holdMs);
      given.push(...claimed.entries.map((entry) => entry.scheduledJobId));
      return claimed;
    },
  };
  for (let last = false; !last;) {
    last = isOver();
    await runSchedulerPass({ ...parts, schedule: recorded });
    await stagger(parts.db, place);
  }
  return given;
}

/** Lets two replicas run passes while entries that are due appear one by one; answers what each of them was given. */
async function twoReplicasClaim(
  { parts, other }: { parts: Parts; other: Parts },
  scheduleOf: (replica: Parts) => Schedule,
) {
  const jobs = await makeJobs(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
  let isOver = false;
  const adding = (async () => {
    for (const job of jobs) {
      await stagger(parts.db, "entries");
      await parts.schedule.add({
        scheduledJobId: entryIdOf(job),
        scheduledStartTimeMs: job.scheduled_at?.getTime() ?? 0,
      });
    }
    isOver = true;
  })();
  const [given, givenOther] = await Promise.all([
    passesOf("passes", parts, scheduleOf(parts), () => isOver),
    passesOf("the other's passes", other, scheduleOf(other), () => isOver),
    adding,
  ]);
  return { jobs, given, givenOther };
}

describe("two replicas run their passes", () => {
  test(
    "each due entry is given to one of them, its job starts once, and no entry is left",
    async () => {
      const { parts, other } = replicas();
      const shares = await inRounds(async () => {
        const before = (await startsOf(parts)) + (await startsOf(other));
        const { jobs, given, givenOther } = await twoReplicasClaim(
          { parts, other },
          ({ schedule }) => schedule,
        );
        expect([...given, ...givenOther].toSorted()).toEqual(jobs.map(entryIdOf).toSorted());
        expect((await startsOf(parts)) + (await startsOf(other)) - before).toBe(jobsAtATime);
        await eventually(async () => expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => started)));
        return [given.length, givenOther.length];
      });
      expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
      expect(shares.reduce((sum, share) => sum + share)).toBe(rounds * jobsAtATime);
      expect(shares.filter((share) => share > 0 && share < jobsAtATime)).not.toEqual([]);
    },
    raceTimeoutMs,
  );

  test(
    "control: an entry is given to both where a claim does not move it, and its job still starts once",
    async () => {
      const { parts, other } = replicas();
      const givenTwice = await untilSeen(async () => {
        const { jobs, given, givenOther } = await twoReplicasClaim({ parts, other }, claimUnguarded);
        await eventually(async () => expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => started)));
        return given.length + givenOther.length - jobs.length;
      });
      expect(givenTwice).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});

describe("two replicas hold the same due entry", () => {
  test(
    "one of them starts its job, and both may take the entry off",
    async () => {
      const { parts, other } = replicas();
      const before = [await startsOf(parts), await startsOf(other)];
      const trials = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
        const ended = await race(parts.db, jobs, settleDue(parts), settleDue(other));
        await eventually(async () => expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => started)));
        return ended;
      });
      expect(
        trials.map(({ a, b }) => Number(a.answer?.entryRemoved) + Number(b.answer?.entryRemoved)),
      ).toEqual(Array.from({ length: rounds * jobsAtATime }, () => 1));
      const wins = [(await startsOf(parts)) - Number(before[0]), (await startsOf(other)) - Number(before[1])];
      expect(Number(wins[0]) + Number(wins[1])).toBe(rounds * jobsAtATime);
      expect(Math.min(...wins)).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );

  test(
    "control: both start its job where a start only reads the status first",
    async () => {
      const { parts, other } = replicas();
      const startedTwice = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
        const trials = await race(
          parts.db,
          jobs,
          (job) => startUnguarded(parts.db, job),
          (job) => startUnguarded(other.db, job),
        );
        await parts.schedule.removeAll(jobs.map(entryIdOf));
        return trials.filter(({ a, b }) => a.refused === undefined && b.refused === undefined).length;
      });
      expect(startedTwice).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});
