import { expect, test } from "vitest";
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

const later = { requestedStartTime: "2040-01-01T00:00:00", timeZone: "UTC" };

const started = running({ byTime: true });

const moved = {
  status: "scheduled",
  revision: 2,
  startedByTime: false,
  list: [],
  hasPosition: false,
  oldEntry: null,
  entry: String(Date.UTC(2040, 0, 1)),
};

test(
  "a job that is rescheduled when its time comes starts and refuses it, or stands under its new entry alone",
  async () => {
    const { parts, other } = replicas();
    const winners = await inRounds(async () => {
      const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
      const trials = await race(
        parts.db,
        jobs,
        (job) => parts.jobs.reschedule(onJob(parts, job.id), later),
        settleDue(other),
      );
      const byTime = trials.map(({ a }) => a.refused !== undefined);
      await eventually(async () =>
        expect(await lookAtAll(parts, jobs)).toEqual(
          byTime.map((isStarted) => (isStarted ? started : moved)),
        ),
      );
      expect(trials.map(({ a }) => a.refused && [a.refused.reason, a.refused.metadata["status"]])).toEqual(
        byTime.map((isStarted) => (isStarted ? ["invalid_status", "running"] : undefined)),
      );
      expectTruthOfRemovals(trials);
      return byTime;
    });
    expectBothOrders(winners);
    const scheduled = winners.filter((isStarted) => !isStarted).length;
    expect(await parts.redis.zcard(parts.keys.due)).toBe(scheduled);
  },
  raceTimeoutMs,
);

test(
  "control: a job that was rescheduled runs where its start only reads the status first",
  async () => {
    const { parts, other } = replicas();
    const runningAfterReschedule = await untilSeen(async () => {
      const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
      const trials = await race(
        parts.db,
        jobs,
        (job) => parts.jobs.reschedule(onJob(parts, job.id), later),
        (job) => startUnguarded(other.db, job),
      );
      const seen = await lookAtAll(parts, jobs);
      return trials.filter(
        ({ a }, i) => a.answer?.statusBefore === "scheduled" && seen[i]?.status === "running",
      ).length;
    });
    expect(runningAfterReschedule).toBeGreaterThan(0);
  },
  raceTimeoutMs,
);
