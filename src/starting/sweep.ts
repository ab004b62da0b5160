import type { Logger } from "pino";
import type { Clock } from "../vitals/clock.ts";
import type { FanOut } from "./fan-out.ts";
import type { Openings } from "./openings.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { purgeDeletedContacts } from "../postgres/contacts/purging.ts";
import type { Database } from "../postgres/connections/database.ts";
import {
  defaultEventRetentionDays,
  dropOldEvents,
  organizationsWithOldEvents,
} from "../postgres/events/events.ts";
import { organizationsWithOldRejectedRows, purgeRejectedRows } from "../postgres/contacts/rejected-rows.ts";
import { organizationsWithExpired, purgeRequests } from "../postgres/jobs/requests.ts";
import { organizationsWithExpiredPhones, purgeExpiredPhones } from "../postgres/phones/suppressed-phones.ts";
import { deleteOldJobs, organizationsWithOldJobs } from "../postgres/jobs/sweep.ts";
import { organizationsWithOldDeliveries, purgeDeliveries } from "../postgres/events/webhook-deliveries.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Schedule } from "../redis/schedule.ts";
import { createEntrySweep } from "./sweep-entries.ts";
import { createListSweep } from "./sweep-lists.ts";
import { createRetrySweep } from "./sweep-retries.ts";

/*
 * The sweep compares Redis with Postgres and puts Redis right. Every replica runs it; every write is conditional, so
 * that no two sweeps can hurt each other, and a frozen one can hurt nobody.
 *
 * A command commits first and then writes to Redis. So what is wrong in Redis is read first, and then once more in
 * Postgres: what Postgres says after Redis was seen wrong is not the shadow of a command in between. For the same
 * reason Redis can never be ahead of Postgres, unless Postgres has lost commits.
 */

const pauseMs = 3_000;
const pauseAfterFailureMs = 1_000;

type Deps = {
  readonly db: Database;
  readonly schedule: Schedule;
  readonly contactList: ContactList;
  readonly fanOut: FanOut;
  readonly openings: Pick<Openings, "wake">;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly logger: Logger;
};

export type Sweep = {
  /**
   * One pass over everything but the removal of rows. False if a part of it failed; the others are done all the same.
   */
  pass(): Promise<boolean>;
};

export function createSweep(deps: Deps): Sweep {
  const { metrics, logger } = deps;
  let ahead = 0;
  let wasAhead = false;
  const failing = new Set<string>();

  function note(rule: string, count: number): void {
    if (count === 0) return;
    metrics.sweepRepairs.inc({ rule }, count);
    logger.warn({ rule, count }, "the sweep put something right");
  }

  function noteAhead(): void {
    ahead += 1;
    metrics.postgresBehindRedis.inc();
  }

  const entries = createEntrySweep({ ...deps, note });
  const retries = createRetrySweep(deps);
  const lists = createListSweep({ ...deps, note, noteAhead });
  const parts = {
    "filling the schedule": () => entries.refill(),
    "adding entries": () => entries.addMissing(),
    "taking entries off": () => entries.removeStale(),
    "ending retries": () => retries.judgeAll(),
    "looking at lists": () => lists.examineRunning(),
    "removing what was left": () => lists.removeLeft(),
  };

  /** What cannot be reached in one place must not keep the sweep from the others. */
  async function tried(part: string, work: () => Promise<void>): Promise<boolean> {
    try {
      await work();
      failing.delete(part);
      return true;
    } catch (error) {
      if (!failing.has(part)) logger.error({ err: error, part }, "a part of the sweep fails; it tries again");
      failing.add(part);
      return false;
    }
  }

  return {
    async pass() {
      ahead = 0;
      let isWhole = true;
      for (const [part, work] of Object.entries(parts)) isWhole = (await tried(part, work)) && isWhole;
      if (!isWhole) metrics.sweepFailures.inc();
      if (ahead > 0 && !wasAhead) {
        logger.error(
          { jobs: ahead },
          "Redis knows of commands that Postgres does not: Postgres has lost commits, as after a failover to a standby that had not heard of them",
        );
      }
      wasAhead = ahead > 0;
      return isWhole;
    },
  };
}

/** So many organizations have their turns before others are looked for. */
const mostOrganizations = 100;

type RetentionOptions = {
  /** Jobs that ended more days ago are deleted; undefined keeps them. */
  readonly retentionDays?: number | undefined;
  /** Events that are older are in the log no more; 30 if not given. */
  readonly eventRetentionDays?: number;
};

/** What has a time of its own, and how much of it is removed at once. */
const purges = [
  { find: organizationsWithExpiredPhones, remove: purgeExpiredPhones, size: 1_000 },
  { find: organizationsWithOldRejectedRows, remove: purgeRejectedRows, size: 200 },
  { find: organizationsWithOldDeliveries, remove: purgeDeliveries, size: 1_000 },
];

/** Removes a chunk of what is no longer needed; true if there may be more. */
async function purge(
  db: Database,
  { retentionDays, eventRetentionDays = defaultEventRetentionDays }: RetentionOptions,
): Promise<boolean> {
  let isMore = false;
  if (retentionDays !== undefined) {
    for (const organizationId of await organizationsWithOldJobs(db, retentionDays, mostOrganizations)) {
      if ((await deleteOldJobs(db, organizationId, retentionDays, 100)) > 0) isMore = true;
    }
  }
  for (const organizationId of await organizationsWithOldEvents(db, eventRetentionDays, mostOrganizations)) {
    if ((await dropOldEvents(db, organizationId, eventRetentionDays, 5_000)) === 5_000) isMore = true;
  }
  if (await purgeDeletedContacts(db, 5_000)) isMore = true;
  for (const { find, remove, size } of purges) {
    for (const organizationId of await find(db, mostOrganizations)) {
      if ((await remove(db, organizationId, size)) === size) isMore = true;
    }
  }
  const organizations = await organizationsWithExpired(db, mostOrganizations);
  for (const organizationId of organizations) {
    if ((await purgeRequests(db, organizationId, 1_000)) === 1_000) isMore = true;
  }
  return isMore || organizations.length === mostOrganizations;
}

/** Sweeps every few seconds until disposed, and once at the start. */
export function startSweep(deps: Deps & RetentionOptions): AsyncDisposable {
  const { db, clock, metrics, logger } = deps;
  const sweep = createSweep(deps);

  const told = { retryMs: pauseAfterFailureMs, logger, failures: metrics.sweepFailures };
  const repairs = startServiceLoop("the sweep", {
    async pass() {
      await clock.measure();
      return jittered((await sweep.pass()) ? pauseMs : pauseAfterFailureMs);
    },
    ...told,
  });
  const removals = startServiceLoop("the removal of what is no longer needed", {
    async pass() {
      const began = performance.now();
      // Half of the time is left to others.
      return (await purge(db, deps)) ? performance.now() - began : jittered(pauseMs);
    },
    ...told,
  });
  return {
    async [Symbol.asyncDispose]() {
      await Promise.all([repairs[Symbol.asyncDispose](), removals[Symbol.asyncDispose]()]);
    },
  };
}
