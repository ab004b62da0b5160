import { sql } from "kysely";
import { storedContactStatuses } from "../domain/contact.ts";
import type { JobKey } from "../domain/job-id.ts";
import { plainArray } from "./lease-rows.ts";
import type { BatchJobRow } from "./tables.ts";

type OwnColumn = Exclude<keyof BatchJobRow, `${(typeof storedContactStatuses)[number]}_contacts`>;

/** All of them: one that is forgotten does not compile. */
const ownColumns: Readonly<Record<OwnColumn, true>> = {
  id: true,
  organization_id: true,
  name: true,
  description: true,
  from_phone_number_id: true,
  status: true,
  failure_reason: true,
  revision: true,
  timezone: true,
  requested_start_time: true,
  scheduled_at: true,
  scheduled_job_id: true,
  created_at: true,
  updated_at: true,
  started_at: true,
  finished_at: true,
  start_lag_ms: true,
  concurrent_call_limit: true,
  max_attempts: true,
  retry_on: true,
  retry_delays_ms: true,
  total_contacts: true,
  has_all_phones: true,
  phones_up_to: true,
};

const columns = [...Object.keys(ownColumns), ...storedContactStatuses.map((status) => `${status}_contacts`)];

/** The columns of a job in a table or under an alias, by their names: for statements that are prepared. */
export const jobColumns = (of: string) => sql.join(columns.map((column) => sql.ref(`${of}.${column}`)));

/** The columns that name these jobs, one row for each: for look-ups that are made for several organizations at once. */
export const asJobRows = (jobs: readonly JobKey[]) => sql`unnest(
  ${plainArray(jobs.map((job) => job.organizationId))}::int[], ${plainArray(jobs.map((job) => job.id))}::uuid[]
) as asked (organization_id, id)`;
