import { setTimeout as delay } from "node:timers/promises";
import { beforeAllJobs, isUuid } from "../domain/jobs/job-id.ts";
import { standingEntries } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import { entriesDueSoon, jobsNow, lacksContacts, runningJobs } from "../postgres/jobs/sweep.ts";
import type { RedisClient } from "../redis/connection.ts";
import { createContactList } from "../redis/contact-list.ts";
import type { Keys } from "../redis/keys.ts";
import { createPeek } from "../redis/peek.ts";
import { createSchedule } from "../redis/schedule.ts";
import { type Check, fault, ok } from "./finding.ts";

/** So much of each kind is looked at. */
const most = 1_000;

/**
 * Where Redis is not as Postgres says. A command commits first and then writes to Redis, and the sweep puts right what
 * is lost: so only what is found twice, a few passes of the sweep apart, is wrong.
 */
export function comparisonChecks(deps: {
  db: Database;
  redis: RedisClient;
  keys: Keys;
  settleMs: number;
}): Check[] {
  const { db, redis, keys, settleMs } = deps;
  const schedule = createSchedule(redis, keys);
  const contactList = createContactList(redis, keys);
  const peek = createPeek(redis, keys);

  async function missingEntries(): Promise<string[]> {
    const soon = await entriesDueSoon(db, most);
    const times = await schedule.dueTimes(soon.map((entry) => entry.scheduledJobId));
    const missing = soon.filter((_, i) => times[i] === undefined).map((entry) => entry.scheduledJobId);
    return (await standingEntries(db, missing)).map((entry) => entry.scheduledJobId);
  }

  async function staleEntries(): Promise<string[]> {
    const { scheduledJobIds } = await schedule.scan("0", most);
    const standing = await standingEntries(db, scheduledJobIds.filter(isUuid));
    const known = new Set(standing.map((entry) => entry.scheduledJobId));
    return scheduledJobIds.filter((id) => !known.has(id));
  }

  /** Running jobs whose lists lack contacts, each with where its fan-out stands: one that moves on is well. */
  async function poorLists(): Promise<string[]> {
    const jobs = await runningJobs(db, { organizationId: 0, id: beforeAllJobs }, most);
    const looks = await Promise.all(
      jobs.map(async (job) => {
        const position = await contactList.position(job);
        const counts = await peek.counts(job);
        const isDone =
          position !== undefined && position.last >= job.totalContacts && !lacksContacts(job, counts);
        return isDone ? [] : [`${job.id} ${position?.epoch ?? ""} ${position?.last ?? ""}`];
      }),
    );
    return looks.flat();
  }

  async function leftKeys(): Promise<string[]> {
    const { jobs } = await contactList.scan(new Map(), most);
    const states = await jobsNow(db, jobs);
    return jobs.filter(({ id }) => states.get(id)?.status !== "running").map(({ id }) => id);
  }

  const differences: { check: string; find: () => Promise<string[]>; well: string; ill: string }[] = [
    {
      check: "entries that are missing",
      find: missingEntries,
      well: "Every job that is due within a minute is on the schedule.",
      ill: "jobs that are due within a minute and not on the schedule in Redis",
    },
    {
      check: "entries that stand for nothing",
      find: staleEntries,
      well: "Every entry of the schedule stands for a start.",
      ill: "entries of the schedule in Redis that stand for no start",
    },
    {
      check: "lists that lack contacts",
      find: poorLists,
      well: "The running jobs have their contacts on their lists.",
      ill: "running jobs that lack contacts on their lists",
    },
    {
      check: "keys that were left",
      find: leftKeys,
      well: "Only running jobs have keys.",
      ill: "jobs that do not run and have keys in Redis",
    },
  ];

  return differences.map(({ check, find, well, ill }) => ({
    check,
    async look() {
      const first = await find();
      if (first.length === 0) return ok(well);
      await delay(settleMs);
      const still = new Set(await find());
      const both = first.filter((one) => still.has(one));
      if (both.length === 0) return ok(well);
      const examples = both.slice(0, 3).map((one) => one.split(" ", 1)[0]);
      return fault(
        `There are ${ill}: ${both.length} (${examples.join(", ")}), and no sweep has put that right for ${settleMs / 1000} s. See that a replica runs, and what it logs.`,
      );
    },
  }));
}
