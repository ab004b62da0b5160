import { sql } from "kysely";
import type { JobKey } from "../domain/job-id.ts";

/** The columns that name these jobs, one row for each: for look-ups that are made for several organizations at once. */
export const asJobRows = (jobs: readonly JobKey[]) => sql`unnest(
  ${jobs.map((job) => job.organizationId)}::int[], ${jobs.map((job) => job.id)}::uuid[]
) as asked (organization_id, id)`;
