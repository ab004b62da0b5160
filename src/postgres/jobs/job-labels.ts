import { sql } from "kysely";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { Trx } from "./batch-jobs.ts";
import { asJobRows } from "./job-rows.ts";

/** Writes the rows by which these jobs are found, from the labels in their own, which are new. */
export async function insertLabels(trx: Trx, jobs: readonly JobKey[]): Promise<void> {
  if (jobs.length === 0) return;
  await sql`
    insert into job_labels (organization_id, key, value, created_at, job_id)
    select asked.organization_id, label.key, label.value, job.created_at, asked.id
    from ${asJobRows(jobs)}
    cross join lateral (
      select created_at, labels from batch_jobs
      where organization_id = asked.organization_id and id = asked.id limit 1
    ) as job
    cross join lateral jsonb_each_text(job.labels) as label
  `.execute(trx);
}

/** The same for a job whose labels have just become others. */
export async function replaceLabels(trx: Trx, job: JobKey): Promise<void> {
  await sql`
    delete from job_labels where organization_id = ${job.organizationId} and job_id = ${job.id}
  `.execute(trx);
  await insertLabels(trx, [job]);
}
