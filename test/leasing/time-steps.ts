import * as fc from "fast-check";
import { sql } from "kysely";
import { runEndPass } from "../../src/jobs/commands/ending.ts";
import { runExpiryPass } from "../../src/leasing/expiry.ts";
import { dueEnds } from "../../src/postgres/jobs/ends.ts";
import { removeKeysUnder } from "../support/redis-keys.ts";
import { letRunOut } from "./leases.ts";
import type { Model } from "./model.ts";
import {
  type Real,
  type Step,
  hasJobs,
  hasLeases,
  jobAt,
  leaseAll,
  leaseAt,
  picks,
  replica,
  step,
  times,
  which,
  worker,
} from "./step.ts";

const noId = "00000000-0000-0000-0000-000000000000";
const past = sql<Date>`clock_timestamp() - interval '1 second'`;
/** So late that an end which is moved to it lies after all that was done before, however fast the steps come. */
const justNow = sql<Date>`clock_timestamp() - interval '1 millisecond'`;

/** Workers die: the time of their leases is over. */
async function crash(model: Model, { replicas: [parts] }: Real, chosen: readonly number[]): Promise<void> {
  const leaseIds = chosen.map((n) => leaseAt(model, n));
  await letRunOut(parts, leaseIds);
  for (const leaseId of leaseIds) model.lose(leaseId);
}

export async function expire(model: Model, { replicas }: Real, on: readonly (0 | 1)[]): Promise<void> {
  await Promise.all(on.map((i) => runExpiryPass(replicas[i].db, replicas[i].recorder)));
  model.expire();
}

export async function makeRetriesDue(model: Model, { replicas: [{ db }] }: Real): Promise<void> {
  const ids = [noId, ...model.jobs.keys()];
  await sql`
    update retries set due_at = case when zone_set = 0 then ${past} else due_at end,
      zone_due_at = case when zone_set > 0 then ${past} end
    where job_id = any(${ids}::uuid[])
  `.execute(db);
  await db
    .updateTable("attempts")
    .set({ next_attempt_at: past })
    .where("job_id", "in", ids)
    .where("next_attempt_at", "is not", null)
    .execute();
  model.makeRetriesDue();
}

/** A pass that looks at every running job, also at those that have just been started. */
export async function sweepOnce(model: Model, { replicas }: Real, on: 0 | 1): Promise<void> {
  const { db, caller, sweep } = replicas[on];
  await db
    .updateTable("batch_jobs")
    .set({ updated_at: sql<Date>`clock_timestamp() - interval '1 minute'` })
    .where("organization_id", "=", caller.organizationId)
    .execute();
  await sweep.pass();
  model.sweep();
}

type Endings = { which: number; on: (0 | 1)[]; asking: { replica: 0 | 1; maxContacts: number }[] };

/**
 * The end of a job comes, and is found by replicas, while workers ask for contacts. What they got came before. That of
 * a job that has ended is not moved, as no command moves it: it tells why contacts may be open.
 */
export async function end(model: Model, real: Real, { which: n, on, asking }: Endings): Promise<void> {
  const job = jobAt(model, n);
  const [{ db }] = real.replicas;
  async function letEnd(): Promise<void> {
    await db
      .updateTable("batch_jobs")
      .set({ end_at: justNow })
      .where("id", "=", job.id)
      .where("finished_at", "is", null)
      .execute();
    // Leases lock the job for a moment.
    while ((await dueEnds(db, 1)).length > 0) {
      await Promise.all(on.map((i) => runEndPass(real.replicas[i])));
    }
  }
  const [leases] = await Promise.all([leaseAll(real, asking), letEnd()]);
  model.open(leases);
  model.end(job);
}

const endings = fc.record({
  which,
  on: fc.array(replica, { minLength: 1, maxLength: 2 }),
  asking: fc.array(worker, { maxLength: 2 }),
});

async function flush({ replicas: [{ redis, prefix }] }: Real): Promise<void> {
  await removeKeysUnder(redis, prefix);
}

const nothing = fc.constant(null);

/** What time, losses and passes do. */
export const timeSteps: fc.Arbitrary<Step>[] = [
  ...times(3, step("crash", picks, crash, hasLeases)),
  ...times(3, step("expire", fc.array(replica, { minLength: 1, maxLength: 2 }), expire)),
  ...times(3, step("retries are due", nothing, makeRetriesDue)),
  ...times(3, step("sweep", replica, sweepOnce)),
  step("end", endings, end, hasJobs),
  step("Redis loses everything", nothing, (_, real) => flush(real)),
];
