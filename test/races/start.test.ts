import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { numbersTo } from "../support/look.ts";
import { onJob } from "../support/make.ts";
import { makeJobsWithKeys } from "../support/make-many.ts";
import {
  expectTruthOfRemovals,
  inRounds,
  jobsAtATime,
  lookAtAll,
  race,
  raceTimeoutMs,
  rounds,
  settleDue,
  untilSeen,
  useTwoReplicas,
} from "./harness.ts";
import { startUnguarded } from "./unguarded.ts";

const replicas = useTwoReplicas();

const started = (byTime: boolean) => ({
  status: "running",
  revision: 2,
  startedByTime: byTime,
  list: numbersTo(3),
  hasPosition: true,
  oldEntry: null,
  entry: null,
});

describe("a command and the time of a job", () => {
  test(
    "of a start and a due time exactly one starts the job, and the other sees that it did",
    async () => {
      const { parts, other } = replicas();
      const winners = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
        const trials = await race(
          parts.db,
          jobs,
          (job) => parts.jobs.start(onJob(parts, job.id)),
          settleDue(other),
        );
        const byTime = trials.map(({ a }) => a.refused !== undefined);
        await eventually(async () => expect(await lookAtAll(parts, jobs)).toEqual(byTime.map(started)));
        expect(
          trials.map(({ a }) => ({
            refused: a.refused && [a.refused.reason, a.refused.metadata["status"]],
            enqueued: a.answer?.contactsEnqueued,
          })),
        ).toEqual(
          byTime.map((isByTime) => ({
            refused: isByTime ? ["already_running", "running"] : undefined,
            enqueued: isByTime ? undefined : 3,
          })),
        );
        expectTruthOfRemovals(
          trials.map(({ a, b }) => [a.answer?.entryRemoved ?? 0, b.answer?.removed ?? 0]),
        );
        return byTime;
      });
      expect(winners).toHaveLength(rounds * jobsAtATime);
      expect(new Set(winners)).toEqual(new Set([true, false]));
    },
    raceTimeoutMs,
  );

  test(
    "control: both start the job where one of them only reads its status first",
    async () => {
      const { parts, other } = replicas();
      const startedTwice = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
        const trials = await race(parts.db, jobs, (job) => startUnguarded(parts.db, job), settleDue(other));
        const seen = await lookAtAll(parts, jobs);
        return trials.filter(({ a }, i) => a.refused === undefined && Number(seen[i]?.revision) > 2).length;
      });
      expect(startedTwice).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});

describe("two commands on two replicas", () => {
  test(
    "of two starts at once exactly one wins, and the other is refused as already running",
    async () => {
      const { parts, other } = replicas();
      const winners = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled" });
        const trials = await race(
          parts.db,
          jobs,
          (job) => parts.jobs.start(onJob(parts, job.id)),
          (job) => other.jobs.start(onJob(other, job.id)),
        );
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => started(false))),
        );
        const firsts = trials.map(({ a }) => a.refused === undefined);
        const won = { statusBefore: "scheduled", contactsEnqueued: 3 };
        const lost = { reason: "already_running", metadata: { status: "running" } };
        expect(trials).toMatchObject(
          firsts.map((isFirst) =>
            isFirst
              ? { a: { answer: won }, b: { refused: lost } }
              : { a: { refused: lost }, b: { answer: won } },
          ),
        );
        expectTruthOfRemovals(
          trials.map(({ a, b }) => [a.answer?.entryRemoved ?? 0, b.answer?.entryRemoved ?? 0]),
        );
        return firsts;
      });
      expect(winners).toHaveLength(rounds * jobsAtATime);
      expect(new Set(winners)).toEqual(new Set([true, false]));
    },
    raceTimeoutMs,
  );

  test(
    "control: both win where a start only reads the status first",
    async () => {
      const { parts, other } = replicas();
      const startedTwice = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled" });
        const trials = await race(
          parts.db,
          jobs,
          (job) => startUnguarded(parts.db, job),
          (job) => startUnguarded(other.db, job),
        );
        return trials.filter(({ a, b }) => a.refused === undefined && b.refused === undefined).length;
      });
      expect(startedTwice).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});
