import { sql } from "kysely";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import { type JobKey, writeJobKey } from "../../domain/jobs/job-id.ts";
import type { Database } from "../connections/database.ts";
import { asJobRows, isAsked, jobColumns, toBatchJob } from "./job-rows.ts";
import { often } from "../connections/prepared.ts";
import type { BatchJobRow } from "../schema/tables.ts";

/** A job, and a text that is another one after every change to its row. */
export type JobVersion = { version: string; job: BatchJob };

/** The versions of those of the jobs that are there, by their names, without the jobs. */
export async function readVersions(db: Database, jobs: readonly JobKey[]): Promise<Map<string, string>> {
  if (jobs.length === 0) return new Map();
  const { rows } = await sql<JobKey & { version: string }>`${often}
    select b.organization_id as "organizationId", b.id, b.xmin::text as version
    from ${asJobRows(jobs)}
    join batch_jobs b on ${isAsked}
  `.execute(db);
  return new Map(rows.map((row) => [writeJobKey(row), row.version]));
}

/** Those of the jobs that are there, by their names. */
export async function readJobs(db: Database, jobs: readonly JobKey[]): Promise<Map<string, JobVersion>> {
  if (jobs.length === 0) return new Map();
  const { rows } = await sql<BatchJobRow & { version: string }>`${often}
    select ${jobColumns("b")}, b.xmin::text as version
    from ${asJobRows(jobs)}
    join batch_jobs b on ${isAsked}
  `.execute(db);
  return new Map(
    rows.map(({ version, ...row }) => {
      const job = toBatchJob(row);
      return [writeJobKey(job), { version, job }];
    }),
  );
}
