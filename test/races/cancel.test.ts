import { describe, expect, test } from "vitest";
import { checkAllowed } from "../../src/domain/jobs/batch-job.ts";
import { lockJob } from "../../src/postgres/jobs/batch-jobs.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { ContactList } from "../../src/redis/contact-list.ts";
import { eventually } from "../support/eventually.ts";
import { onJob } from "../support/make.ts";
import { keyOf, makeJobsWithKeys } from "../support/make-many.ts";
import { writeStart } from "../support/write-jobs.ts";
import {
  expectBothOrders,
  expectTruthOfRemovals,
  inRounds,
  jobsAtATime,
  lagging,
  lookAtAll,
  race,
  raceTimeoutMs,
  rounds,
  settleDue,
  untilSeen,
  useTwoReplicas,
  wideFanOut,
} from "./harness.ts";
import { appendUnguarded, fanOutUnguarded, startUnguarded } from "./unguarded.ts";

const chunkSize = 2;
const contacts = 12;
const replicas = useTwoReplicas([chunkSize, chunkSize]);

const cancelled = (startedFirst: boolean, byTime: boolean) => ({
  status: "cancelled",
  revision: startedFirst ? 3 : 2,
  startedByTime: startedFirst && byTime,
  list: [],
  hasPosition: false,
  oldEntry: null,
  entry: null,
});

const keysLeft = (seen: readonly { list: readonly string[]; hasPosition: boolean }[]): number =>
  seen.filter(({ list, hasPosition }) => list.length > 0 || hasPosition).length;

describe("cancel and start", () => {
  test(
    "a job that is started and cancelled at once ends cancelled, without keys, and the start is refused if it was second",
    async () => {
      const parts = lagging(replicas().parts);
      const { other } = replicas();
      const orders = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled" });
        const trials = await race(
          parts.db,
          jobs,
          (job) => parts.jobs.start(onJob(parts, job.id)),
          (job) => other.jobs.cancel(onJob(other, job.id)),
        );
        const startedFirst = trials.map(({ a }) => a.refused === undefined);
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(startedFirst.map((first) => cancelled(first, false))),
        );
        expect(trials).toMatchObject(
          startedFirst.map((isStart) =>
            isStart
              ? {
                  a: { answer: { contactsEnqueued: 3 } },
                  b: { answer: { statusBefore: "running", contactsCancelled: 3, entryRemoved: false } },
                }
              : {
                  a: { refused: { reason: "invalid_status", metadata: { status: "cancelled" } } },
                  b: { answer: { statusBefore: "scheduled", contactsCancelled: 3 } },
                },
          ),
        );
        expectTruthOfRemovals(trials);
        return startedFirst;
      });
      expectBothOrders(orders);
    },
    raceTimeoutMs,
  );

  test(
    "a job that is cancelled when its time comes ends cancelled, without keys, and one of the two takes off its entry",
    async () => {
      const parts = lagging(replicas().parts);
      const { other } = replicas();
      const orders = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled", dueInMs: -1 });
        const trials = await race(
          parts.db,
          jobs,
          (job) => other.jobs.cancel(onJob(other, job.id)),
          settleDue(parts),
        );
        const startedFirst = trials.map(({ a }) => a.answer?.statusBefore === "running");
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(startedFirst.map((first) => cancelled(first, true))),
        );
        expect(
          trials.map(({ a }) => ({ refused: a.refused, contactsCancelled: a.answer?.contactsCancelled })),
        ).toEqual(jobs.map(() => ({ refused: undefined, contactsCancelled: 3 })));
        expectTruthOfRemovals(trials);
        return startedFirst;
      });
      expectBothOrders(orders);
    },
    raceTimeoutMs,
  );

  test(
    "control: a cancelled job runs where a start only reads the status first",
    async () => {
      const { parts, other } = replicas();
      const runningAfterCancel = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled" });
        await race(
          parts.db,
          jobs,
          (job) => startUnguarded(parts.db, job),
          (job) => other.jobs.cancel(onJob(other, job.id)),
        );
        const seen = await lookAtAll(parts, jobs);
        return seen.filter(({ status }) => status === "running").length;
      });
      expect(runningAfterCancel).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );

  test(
    "control: a cancelled job keeps its keys where the fan-out of its start does not look at the status",
    async () => {
      const parts = lagging(replicas().parts);
      const { other } = replicas();
      const start = async (job: BatchJobRow) => {
        const { revision } = await parts.db.transaction().execute(async (trx) => {
          const { id, status, counts } = await lockJob(trx, job.organization_id, job.id);
          checkAllowed("start", { id, status, dialing: counts.dialing });
          return await writeStart(trx, job);
        });
        await parts.contactList.create(keyOf(job), revision);
        await fanOutUnguarded(parts, job);
      };
      const withKeys = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "scheduled" });
        await race(parts.db, jobs, start, (job) => other.jobs.cancel(onJob(other, job.id)));
        return keysLeft(await lookAtAll(parts, jobs));
      });
      expect(withKeys).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});

describe("cancel and fan-out", () => {
  test(
    "when both have ended the job has no keys, however many chunks were on its list when it was cancelled",
    async () => {
      const { parts, other } = replicas();
      const appended: number[] = [];
      const counted: ContactList = {
        ...parts.contactList,
        async append(job, seen, last, numbers) {
          const after = await parts.contactList.append(job, seen, last, numbers);
          appended.push(after.position?.last ?? 0);
          return after;
        },
      };
      await using fanOut = wideFanOut(parts, counted, chunkSize);
      const refusals = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "running", contacts });
        const trials = await race(
          parts.db,
          jobs,
          (job) => fanOut.run(keyOf(job)),
          (job) => other.jobs.cancel(onJob(other, job.id)),
        );
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => cancelled(false, false))),
        );
        return trials.map(({ a, b }) => a.refused ?? b.refused);
      });
      expect(refusals).toEqual(Array.from({ length: rounds * jobsAtATime }));
      // Lists were cancelled at every length: 0 stands for a chunk that found no position any more.
      expect(new Set(appended)).toEqual(new Set([0, 2, 4, 6, 8, 10, 12]));
    },
    raceTimeoutMs,
  );

  test(
    "control: a cancelled job keeps its keys where a chunk is put on the list without a look at the position",
    async () => {
      const { parts, other } = replicas();
      await using fanOut = wideFanOut(parts, appendUnguarded(parts), chunkSize);
      const withKeys = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "running", contacts });
        await race(
          parts.db,
          jobs,
          (job) => fanOut.run(keyOf(job)),
          (job) => other.jobs.cancel(onJob(other, job.id)),
        );
        return keysLeft(await lookAtAll(parts, jobs));
      });
      expect(withKeys).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});
