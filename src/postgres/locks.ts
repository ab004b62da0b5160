import { type SqlBool, sql } from "kysely";
import type { BatchJob } from "../domain/batch-job.ts";
import type { Trx } from "./batch-jobs.ts";
import { toBatchJob } from "./job-rows.ts";

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

/** Locks those of the jobs that are the organization's, in the order of their ids. */
export async function lockJobs(
  trx: Trx,
  organizationId: number,
  ids: readonly string[],
): Promise<Map<string, BatchJob>> {
  const rows = await trx
    .selectFrom("batch_jobs")
    .selectAll()
    .where("organization_id", "=", organizationId)
    .where(sql<SqlBool>`id = any(${ids}::uuid[])`)
    .orderBy("id")
    .forNoKeyUpdate()
    .execute();
  return new Map(rows.map((row) => [row.id, toBatchJob(row)]));
}
