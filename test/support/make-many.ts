import { sql } from "kysely";
import type { BatchJobRow } from "../../src/postgres/schema/tables.ts";
import type { JobKey } from "../../src/redis/keys.ts";
import type { Parts } from "./parts.ts";
import { writeContacts } from "./contact-tables.ts";

type Making = { status: "pending" | "scheduled" | "running"; contacts?: number; dueInMs?: number };

export const keyOf = (job: BatchJobRow): JobKey => ({ id: job.id, organizationId: job.organization_id });

/** The id under which a job that was made as a scheduled one stands in the schedule. */
export function entryIdOf({ id, scheduled_job_id }: BatchJobRow): string {
  if (scheduled_job_id === null) throw new Error(`batch job ${id} is not scheduled`);
  return scheduled_job_id;
}

/** Many jobs in two statements, otherwise as makeJob: in Postgres and nothing in Redis. */
export async function makeJobs(
  parts: Pick<Parts, "db" | "caller">,
  count: number,
  { status, contacts = 3, dueInMs = 3_600_000 }: Making,
): Promise<BatchJobRow[]> {
  const isScheduled = status === "scheduled";
  const { rows } = await sql<BatchJobRow>`
    insert into batch_jobs (
      organization_id, name, description, from_phone_number_id, status, timezone, requested_start_time,
      scheduled_at, scheduled_job_id, started_at, updated_at, concurrent_call_limit, max_attempts, retry_on,
      retry_delays_ms, total_contacts, pending_contacts)
    select
      ${parts.caller.organizationId}, 'One of many', '', 'pn_1', ${status}, 'UTC',
      case when ${isScheduled} then '2030-01-01T00:00:00' end,
      case when ${isScheduled} then clock_timestamp() + ${`${dueInMs} milliseconds`}::interval end,
      case when ${isScheduled} then gen_random_uuid() end,
      case when ${status === "running"} then clock_timestamp() end,
      clock_timestamp() - interval '1 minute', 5, 3, '{busy}', '{300000}', ${contacts}::int, ${contacts}::int
    from generate_series(1, ${count}::int)
    returning *
  `.execute(parts.db);
  await writeContacts(
    parts.db,
    rows.map((row) => row.id),
    { to: contacts },
  );
  return rows;
}

/** The same, with the entries of scheduled ones, and of running ones the position, from which nothing is done yet. */
export async function makeJobsWithKeys(
  parts: Pick<Parts, "db" | "caller" | "schedule" | "contactList">,
  count: number,
  making: Making,
): Promise<BatchJobRow[]> {
  const jobs = await makeJobs(parts, count, making);
  const entries = jobs.flatMap(({ scheduled_job_id: scheduledJobId, scheduled_at: scheduledStartTime }) =>
    scheduledJobId === null || scheduledStartTime === null
      ? []
      : [{ scheduledJobId, scheduledStartTimeMs: scheduledStartTime.getTime() }],
  );
  await parts.schedule.addMissing(entries);
  const running = jobs.filter((job) => job.status === "running");
  await Promise.all(running.map((job) => parts.contactList.create(keyOf(job), job.revision)));
  return jobs;
}
