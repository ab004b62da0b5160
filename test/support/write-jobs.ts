import { sql } from "kysely";
import type { Trx } from "../../src/postgres/jobs/batch-jobs.ts";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";

/*
 * What commands write of one job, and nothing else that they do: for tests in which it happens at a certain moment.
 */

const now = sql<Date>`clock_timestamp()`;
const moved = { revision: sql<number>`revision + 1`, updated_at: now, scheduled_job_id: null };

export async function writeStart(trx: Trx, job: BatchJobRow): Promise<BatchJobRow> {
  return await trx
    .updateTable("batch_jobs")
    .set({ ...moved, status: "running", started_at: now })
    .where("organization_id", "=", job.organization_id)
    .where("id", "=", job.id)
    .where("status", "in", ["pending", "scheduled"])
    .returningAll()
    .executeTakeFirstOrThrow();
}

export async function writeCancel(trx: Trx, job: BatchJobRow): Promise<void> {
  await trx
    .updateTable("batch_jobs")
    .set({ ...moved, status: "cancelled", finished_at: now })
    .where("organization_id", "=", job.organization_id)
    .where("id", "=", job.id)
    .execute();
}
