import { type SqlBool, sql } from "kysely";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import type { Trx } from "./batch-jobs.ts";
import { lockForCommands } from "./commands.ts";
import { type Database, isLockTimeout } from "../connections/database.ts";
import { toBatchJob } from "./job-rows.ts";

/** For so long a call waits for what others have locked. */
export const lockPatienceMs = 5_000;

/** What the transactions that lease and report begin with: the organization's lock, and the time. */
export type LockedOrganization = { free: number; now: Date };

/**
 * Locks the organization until the transaction ends.
 *
 * From here on the transaction looks rows up by index only: without statistics of a table that has just grown the
 * planner would read the whole of it to find a few hundred rows.
 */
export async function lockOrganization(trx: Trx, id: number): Promise<LockedOrganization> {
  const { rows } = await sql<LockedOrganization>`
    select lease_limit - dialing as free, date_trunc('milliseconds', clock_timestamp()) as now,
      set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
      set_config('enable_mergejoin', 'off', true)
    from organizations where id = ${id} for no key update
  `.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new Error("a taker's organization is gone");
  return row;
}

/** What is said in place of an answer of a job that somebody else has locked: it was passed by, and is as it was. */
export type Held = "held";

/**
 * Locks those of the jobs that are the organization's, which everybody of the organization waits for: it waits for none
 * that somebody else has locked, and tells which those are.
 */
export async function lockFreeJobs(
  trx: Trx,
  organizationId: number,
  ids: readonly string[],
): Promise<{ jobs: Map<string, BatchJob>; held: ReadonlySet<string> }> {
  const own = trx
    .selectFrom("batch_jobs")
    .where("organization_id", "=", organizationId)
    .where(sql<SqlBool>`id = any(${ids}::uuid[])`);
  const rows = await own.selectAll().orderBy("id").forNoKeyUpdate().skipLocked().execute();
  const jobs = new Map(rows.map((row) => [row.id, toBatchJob(row)]));
  if (jobs.size === ids.length) return { jobs, held: new Set() };
  const there = await own.select("id").execute();
  return { jobs, held: new Set(there.flatMap(({ id }) => (jobs.has(id) ? [] : id))) };
}

/** Shorter than the second after which Postgres looks for deadlocks. */
const organizationPatienceMs = 500;
const mostTries = 5;

/**
 * A transaction that has locked this job, if it is to be had in a second, before it locks anything else. It comes to it
 * in its turn, however many there are that lock it one after the other, and nobody waits for it meanwhile. It may lock
 * the organization then, since whoever has that waits for no job (open_leases for 50 ms, which ends by itself). A
 * replica of 0.2.0 does wait: so the job is given back, and all begins anew, where the organization is not to be had.
 */
export async function afterJob<T>(
  db: Database,
  organizationId: number,
  jobId: string,
  work: (trx: Trx) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await db.transaction().execute(async (trx) => {
        await lockForCommands(trx, organizationId, { jobIds: [], requests: [], awaitedId: jobId });
        await sql`select set_config('lock_timeout', ${String(organizationPatienceMs)}, true)`.execute(trx);
        return await work(trx);
      });
    } catch (error) {
      if (!isLockTimeout(error) || tries === mostTries) throw error;
    }
  }
}
