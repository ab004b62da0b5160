import { sql } from "kysely";
import type { Database } from "./connections/database.ts";

/** How much there is to do, of all organizations. */
export type Census = {
  readonly scheduledJobs: number;
  readonly runningJobs: number;
  /** Jobs whose start is more than a second late. */
  readonly overdueStarts: number;
  readonly liveLeases: number;
  /** Contacts of running jobs that wait for their first call, or for the next one. */
  readonly waitingContacts: number;
  readonly enabledEndpoints: number;
  /** Of those that are enabled. */
  readonly failingEndpoints: number;
  readonly disabledEndpoints: number;
  /** Of those that are enabled, together. */
  readonly eventsBehind: number;
};

/** Reads the scheduled and the running jobs by their indexes, and no other job; and all endpoints, which are few. */
export async function takeCensus(db: Database): Promise<Census> {
  const { rows } = await sql<Census>`
    select "scheduledJobs", "runningJobs", "overdueStarts", "liveLeases", "waitingContacts",
      "enabledEndpoints", "failingEndpoints", "disabledEndpoints", "eventsBehind"
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
    ) leased, (
      select count(*) filter (where status = 'enabled')::int as "enabledEndpoints",
        count(*) filter (where status = 'enabled' and failing_since is not null)::int as "failingEndpoints",
        count(*) filter (where status = 'disabled')::int as "disabledEndpoints",
        coalesce(sum(greatest(0, h.sequence - e.sequence)) filter (where status = 'enabled'), 0)::float8 as "eventsBehind"
      from webhook_endpoints e
      left join lateral (
        select sequence from event_heads where organization_id = e.organization_id limit 1
      ) as h on true
    ) endpoints`.execute(db);
  const [census] = rows;
  if (census === undefined) throw new Error("a census has one row");
  return census;
}
