import type { Logger } from "pino";
import { dayMs } from "../domain/time/day.ts";
import { findOpening } from "../domain/time/hours.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Trx } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import {
  type SetOpening,
  type SetToReckon,
  findOutdated,
  findOver,
  lockZoneSets,
  writeOpenings,
} from "../postgres/contacts/openings.ts";
import { type JobKey, beforeAllJobs } from "../domain/jobs/job-id.ts";
import type { StartedJob } from "./fan-out.ts";

/*
 * When the contacts of a job with hours may be leased is reckoned here, since Postgres knows of no time zone that the
 * service does not know: the time in which a set of zones is open, or the next one. Postgres judges by it, and those
 * who wait for contacts know from it when to look again; so nothing has to happen when it begins. When it is over the
 * next one is reckoned, which has time: hours begin and end with minutes.
 */

/** A job that has come to run. */
export type Woken = Pick<StartedJob, "key" | "zoneSets">;

/** Disposing waits for what is being reckoned. */
export type Openings = AsyncDisposable & {
  /** Reckons when the contacts of those of the jobs that have hours may be leased. What fails is left to the sweep. */
  wake(jobs: readonly Woken[]): Promise<void>;
  /**
   * Reckons anew, under the hours that an organization has now, when contacts of its running jobs may be leased: they
   * give nothing until then. What fails is left to the sweep.
   */
  moveFloor(organizationId: number): Promise<void>;
  /** Reckons the next time of sets whose time is over, at most of a batch of them; true if there may be more. */
  pass(): Promise<boolean>;
};

const batchSize = 1_000;
/** So many jobs are locked together. */
const mostTogether = 100;
/** So many of those that are held are waited for at a time; the sweep comes back to the others. */
const mostAwaited = 2;
const pauseMs = 1_000;

/** A job that does not run is woken when it does. One that has no opening is looked at again the next day. */
function reckon({ jobId, zoneSet, status, hours, zones }: SetToReckon, nowMs: number): SetOpening {
  if (status !== "running") return { jobId, zoneSet, opening: undefined, nextLookAtMs: undefined };
  const opening =
    hours.length === 0 ? { fromMs: nowMs, untilMs: nowMs + 365 * dayMs } : findOpening(hours, zones, nowMs);
  return { jobId, zoneSet, opening, nextLookAtMs: opening?.untilMs ?? nowMs + dayMs };
}

/**
 * Reckons when the contacts of jobs may be leased, in a transaction that waits for the jobs, or has locked them, or
 * leaves those out that somebody else has locked. Answers which these are.
 */
export async function reckonAll(
  trx: Trx,
  organizationId: number,
  jobIds: readonly string[],
  whereLocked: "wait" | "leave out" = "wait",
): Promise<readonly string[]> {
  const { sets, leftOut, now } = await lockZoneSets(trx, organizationId, jobIds, whereLocked);
  const openings = sets.map((set) => reckon(set, now.getTime()));
  await writeOpenings(trx, organizationId, openings);
  return leftOut;
}

export function createOpenings(deps: {
  db: Database;
  logger: Logger;
  /** Told of an organization that may have contacts to give now. */
  onOpened: (organizationId: number) => void;
}): Openings {
  const { db, logger, onOpened } = deps;
  const waking = new Set<Promise<void>>();

  async function moveOn(
    organizationId: number,
    jobIds: readonly string[],
    whereLocked: "wait" | "leave out",
  ): Promise<readonly string[]> {
    const leftOut = await db
      .transaction()
      .execute((trx) => reckonAll(trx, organizationId, jobIds, whereLocked));
    onOpened(organizationId);
    return leftOut;
  }

  /** Waits for nobody; answers the jobs that somebody else has locked. */
  async function moveAllOn(jobs: readonly JobKey[]): Promise<JobKey[]> {
    const leftOut: JobKey[] = [];
    for (const [organizationId, own] of Map.groupBy(jobs, (job) => job.organizationId)) {
      const ids = [...new Set(own.map(({ id }) => id))];
      for (let done = 0; done < ids.length; done += mostTogether) {
        const left = await moveOn(organizationId, ids.slice(done, done + mostTogether), "leave out");
        leftOut.push(...left.map((id) => ({ id, organizationId })));
      }
    }
    return leftOut;
  }

  /** The jobs that are waited for, each on a connection: a held job holds up no other. */
  const awaited = new Set<string>();

  async function waitFor({ id, organizationId }: JobKey): Promise<void> {
    if (awaited.has(id) || awaited.size >= mostAwaited) return;
    awaited.add(id);
    try {
      await moveOn(organizationId, [id], "wait");
    } finally {
      awaited.delete(id);
    }
  }

  /** Nobody waits for those that somebody else has locked. */
  async function moveOnSoon(jobs: readonly JobKey[]): Promise<void> {
    for (const job of await moveAllOn(jobs)) void inTime(() => waitFor(job));
  }

  /** Disposing waits for it. */
  async function inTime(work: () => Promise<void>): Promise<void> {
    const done = work()
      .catch((error: unknown) =>
        logger.warn({ err: error }, "jobs give no contacts until the sweep has their hours reckoned"),
      )
      .finally(() => waking.delete(done));
    waking.add(done);
    await done;
  }

  return {
    wake: (jobs) =>
      inTime(() => moveOnSoon(jobs.filter(({ zoneSets = 0 }) => zoneSets > 0).map(({ key }) => key))),

    moveFloor: (organizationId) =>
      inTime(async () => {
        for (let afterId = beforeAllJobs, full = true; full;) {
          const ids = await findOutdated(db, organizationId, afterId, mostTogether);
          await moveOnSoon(ids.map((id) => ({ id, organizationId })));
          afterId = ids.at(-1) ?? afterId;
          full = ids.length === mostTogether;
        }
      }),

    async pass() {
      const over = await findOver(db, batchSize);
      await moveAllOn(over);
      return over.length === batchSize;
    },

    async [Symbol.asyncDispose]() {
      while (waking.size > 0) await Promise.all(waking);
    },
  };
}

/** Has the next time reckoned of whatever is over, every second until disposed. */
export function startOpenings(deps: { openings: Openings; logger: Logger }): AsyncDisposable {
  const { openings, logger } = deps;
  return startServiceLoop("the reckoning of calling hours", {
    pass: async () => ((await openings.pass()) ? 0 : jittered(pauseMs)),
    retryMs: pauseMs,
    logger,
  });
}
