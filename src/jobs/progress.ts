import type { Logger } from "pino";
import { type BatchJob, openContacts } from "../domain/jobs/batch-job.ts";
import { estimatedFinish } from "../domain/jobs/estimate.ts";
import type { CallingHours } from "../domain/time/hours.ts";
import { type JobKey, writeJobKey } from "../domain/jobs/job-id.ts";
import type { Database } from "../postgres/connections/database.ts";
import { type NotedProgress, noteProgress, readProgress } from "../postgres/jobs/progress.ts";
import { runningJobKeys } from "../postgres/jobs/sweep.ts";
import { openInSets } from "../postgres/contacts/zone-sets.ts";
import { coalesce } from "../timing/coalesce.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import { noteOfAll } from "./noting.ts";

const pauseMs = 30_000;

/** Notes how far the running jobs are; of what several replicas note in a minute one remains. */
export const runProgressPass = (db: Database): Promise<void> => noteOfAll(db, runningJobKeys, noteProgress);

/** Notes how far running jobs are, twice a minute until disposed. */
export function startProgress({ db, logger }: { db: Database; logger: Logger }): AsyncDisposable {
  return startServiceLoop("the noting of how far jobs are", {
    async pass() {
      await runProgressPass(db);
      return jittered(pauseMs);
    },
    retryMs: pauseMs,
    logger,
  });
}

/** Estimates when running jobs end. */
export function createEstimates({ lookUps }: { lookUps: Database }) {
  const read = coalesce<JobKey, { noted: NotedProgress | undefined }>(
    async (asked) => {
      const jobs = new Map(asked.map((job) => [writeJobKey(job), job]));
      const noted = await readProgress(lookUps, [...jobs.values()]);
      return asked.map((job) => ({ noted: noted.get(writeJobKey(job)) }));
    },
    100,
    { atOnce: 4 },
  );

  /** When the job ends; undefined while there is nothing to say. */
  return async function estimate(job: BatchJob, hours: CallingHours | undefined): Promise<Date | undefined> {
    if (job.status !== "running") return undefined;
    const { noted } = await read({ organizationId: job.organizationId, id: job.id });
    if (noted === undefined) return undefined;
    const open = openContacts(job);
    const sets = job.zoneSets > 1 ? await openInSets(lookUps, job) : [];
    const nowMs = noted.now.getTime();
    const finishMs = estimatedFinish({
      nowMs,
      points: [...noted.points, { atMs: nowMs, final: job.totalContacts - open }],
      open,
      lastRetryAtMs: noted.lastRetryAt?.getTime(),
      hours: [hours, noted.floor].flatMap((each) => each ?? []),
      // Of one of which everybody is in a call, calls may be within the hours of any.
      zoneSets: sets.length === 0 ? [[job.timeZone]] : sets.map(({ zones }) => zones),
      endAtMs: job.endAt?.getTime(),
    });
    return finishMs === undefined ? undefined : new Date(Math.round(finishMs));
  };
}

export type Estimate = ReturnType<typeof createEstimates>;
