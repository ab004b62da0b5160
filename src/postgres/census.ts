import { sql } from "kysely";
import type { Database } from "./database.ts";

/** How much there is to do, of all organizations. */
export type Census = {
  readonly scheduledJobs: number;
  readonly runningJobs: number;
  /** Jobs whose start is more than a second late. */
  readonly overdueStarts: number;
  readonly liveLeases: number;
  /** Contacts of running jobs that wait for their first call, or for the next one. */
  readonly waitingContacts: number;
};

/** Reads the scheduled and the running jobs by their indexes, and no other job. */
export async function takeCensus(db: Database): Promise<Census> {
  const { rows } = await sql<Census>`
    select "scheduledJobs", "runningJobs", "overdueStarts", "liveLeases", "waitingContacts"
    from (
      select count(*)::int as "scheduledJobs",
        count(*) filter (where scheduled_at < clock_timestamp() - interval '1 second')::int as "overdueStarts"
      from batch_jobs where status = 'scheduled'
    ) scheduled, (
      select count(*)::int as "runningJobs",
        coalesce(sum(pending_contacts + waiting_retry_contacts), 0)::float8 as "waitingContacts"
      from batch_jobs where status = 'running'
    ) running, (
      select coalesce(sum(dialing), 0)::int as "liveLeases" from organizations
    ) leased`.execute(db);
  const [census] = rows;
  if (census === undefined) throw new Error("a census has one row");
  return census;
}
