import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { onJob } from "../support/make.ts";
import { makeJobsWithKeys } from "../support/make-many.ts";
import {
  expectBothOrders,
  expectTruthOfRemovals,
  inRounds,
  jobsAtATime,
  lookAtAll,
  race,
  raceTimeoutMs,
  running,
  settleDue,
  untilSeen,
  useTwoReplicas,
} from "./harness.ts";
import { startUnguarded } from "./unguarded.ts";

const replicas = useTwoReplicas();

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
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(
            byTime.map((isByTime) => running({ byTime: isByTime })),
          ),
        );
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
        expectTruthOfRemovals(trials);
        return byTime;
      });
      expectBothOrders(winners);
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
        await eventually(async () => expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => running())));
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
        expectTruthOfRemovals(trials);
        return firsts;
      });
      expectBothOrders(winners);
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
