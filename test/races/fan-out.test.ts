import { describe, expect, test } from "vitest";
import type { ContactList } from "../../src/redis/contact-list.ts";
import { eventually } from "../support/eventually.ts";
import { makeContacts, onJob } from "../support/make.ts";
import { keyOf, makeJobsWithKeys } from "../support/make-many.ts";
import type { Parts } from "../support/parts.ts";
import {
  inRounds,
  jobsAtATime,
  lookAtAll,
  race,
  raceTimeoutMs,
  rounds,
  running,
  stagger,
  untilSeen,
  useTwoReplicas,
  wideFanOut,
} from "./harness.ts";
import { jobPlace } from "./choices.ts";
import { appendUnguarded } from "./unguarded.ts";

const contacts = 7;
const replicas = useTwoReplicas([2, 3]);

/** A list whose chunks come a little later than they were read. */
const laggingList = ({ db, contactList }: Parts): ContactList => ({
  ...contactList,
  async append(job, seen, last, numbers) {
    await stagger(db, `a chunk of ${jobPlace(job.id)}`);
    return await contactList.append(job, seen, last, numbers);
  },
});

/** How many numbers a replica has put on lists. */
async function countOf({ metrics }: Parts): Promise<number> {
  const { values } = await metrics.fanOutContacts.get();
  return values[0]?.value ?? 0;
}

describe("two replicas fan one job out, in chunks of different sizes", () => {
  test(
    "the list holds each number once, in order, and both have put chunks on it",
    async () => {
      const { parts, other } = replicas();
      await using fanOut = wideFanOut(parts, laggingList(parts), 2);
      await using otherFanOut = wideFanOut(other, laggingList(other), 3);
      const seen = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "running", contacts });
        await race(
          parts.db,
          jobs,
          (job) => fanOut.run(keyOf(job)),
          (job) => otherFanOut.run(keyOf(job)),
        );
        return await lookAtAll(parts, jobs);
      });
      expect(seen).toEqual(
        Array.from({ length: rounds * jobsAtATime }, () => running({ contacts, revision: 1 })),
      );
      const shares = await Promise.all([parts, other].map(countOf));
      expect(Math.min(...shares)).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );

  test(
    "control: numbers are on the list twice where a chunk is put on it without a look at the position",
    async () => {
      const { parts, other } = replicas();
      await using fanOut = wideFanOut(parts, appendUnguarded(parts), 2);
      await using otherFanOut = wideFanOut(other, appendUnguarded(other), 3);
      const doubled = await untilSeen(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "running", contacts });
        await race(
          parts.db,
          jobs,
          (job) => fanOut.run(keyOf(job)),
          (job) => otherFanOut.run(keyOf(job)),
        );
        const seen = await lookAtAll(parts, jobs);
        return seen.filter(({ list }) => new Set(list).size < list.length).length;
      });
      expect(doubled).toBeGreaterThan(0);
    },
    raceTimeoutMs,
  );
});

describe("contacts are added during a fan-out", () => {
  test(
    "by another replica: the list holds the old and the new numbers once, in order",
    async () => {
      const { parts, other } = replicas();
      await using fanOut = wideFanOut(parts, laggingList(parts), 2);
      const totals = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "running", contacts });
        const trials = await race(
          parts.db,
          jobs,
          (job) => fanOut.run(keyOf(job)),
          (job) => other.jobs.addContacts(onJob(other, job.id), makeContacts(4, 100)),
        );
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => running({ contacts: contacts + 4 }))),
        );
        return trials.map(({ b }) => b.answer?.totalContacts);
      });
      expect(totals).toEqual(Array.from({ length: rounds * jobsAtATime }, () => contacts + 4));
    },
    raceTimeoutMs,
  );

  test(
    "by the replica at work: the fan-out goes on with them, and the list holds each number once, in order",
    async () => {
      const { parts } = replicas();
      const totals = await inRounds(async () => {
        const jobs = await makeJobsWithKeys(parts, jobsAtATime, { status: "running", contacts });
        const trials = await race(
          parts.db,
          jobs,
          (job) => parts.fanOut.run(keyOf(job)),
          (job) => parts.jobs.addContacts(onJob(parts, job.id), makeContacts(4, 100)),
        );
        await eventually(async () =>
          expect(await lookAtAll(parts, jobs)).toEqual(jobs.map(() => running({ contacts: contacts + 4 }))),
        );
        return trials.map(({ b }) => b.answer?.totalContacts);
      });
      expect(totals).toEqual(Array.from({ length: rounds * jobsAtATime }, () => contacts + 4));
    },
    raceTimeoutMs,
  );
});
