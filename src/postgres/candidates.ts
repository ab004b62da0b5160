import { type RawBuilder, sql } from "kysely";
import type { Database } from "./database.ts";

/** Read once in a statement, so that an index can be searched for it. */
const timeNow = sql<Date>`(select clock_timestamp())`;

/** The row that says when contacts of the job b are open; only a job with hours has one. */
const zoneSetOfJob = sql`
  zone_sets z where b.zone_sets > 0 and z.organization_id = b.organization_id and z.job_id = b.id and z.zone_set = 0`;

/** Contacts of the job b of the organization o may be leased now, as far as hours say. Looked up job by job. */
const isOpen = sql`b.hours_revision = o.hours_revision and (b.zone_sets = 0 or (
  select true from ${zoneSetOfJob} and z.open_from <= ${timeNow} and z.open_until > ${timeNow} limit 1))`;

/**
 * A running job that may have contacts to give: how many it may give, how many it may have, and what its workers need.
 */
export type Candidate = {
  id: string;
  free: number;
  pending: number;
  due: number;
  fromPhoneNumberId: string;
  maxAttempts: number;
};

/**
 * The organization's jobs that may give contacts, once so many leases of these jobs have ended as `ending` says: those
 * after `afterJobId` in the order of their ids, then those from the start. Takes no lock.
 */
export async function findCandidates(
  db: Database,
  organizationId: number,
  afterJobId: string,
  onlyJobIds: readonly string[],
  limit: number,
  ending: ReadonlyMap<string, number> = new Map(),
): Promise<{ organizationFree: number; candidates: Candidate[] }> {
  const endingIds = [...ending.keys()];
  const endingInAll = [...ending.values()].reduce((sum, count) => sum + count, 0);
  const some = (side: RawBuilder<unknown>) => sql`
    select b.id, b.concurrent_call_limit - b.dialing_contacts as free, b.pending_contacts as pending,
      b.from_phone_number_id as "fromPhoneNumberId", b.max_attempts as "maxAttempts",
      case when b.waiting_retry_contacts = 0 then 0 else (
        select count(*)::int from (
          select from retries r
          where r.organization_id = b.organization_id and r.job_id = b.id and r.due_at <= ${timeNow}
          limit greatest(0, b.concurrent_call_limit - b.dialing_contacts + ${endingInAll}::int)
        ) as due)
      end as due
    from batch_jobs b
    where b.organization_id = o.id and b.status = 'running' and b.id ${side} ${afterJobId}
      and (b.concurrent_call_limit > b.dialing_contacts or b.id = any(${endingIds}::uuid[]))
      and (b.pending_contacts > 0 or b.waiting_retry_contacts > 0)
      and ${isOpen}
      and (${onlyJobIds.length === 0} or b.id = any(${onlyJobIds}::uuid[]))
    order by b.id
    limit ${limit}`;
  const { rows } = await sql<Candidate & { id: string | null; organizationFree: number }>`
    select o.lease_limit - o.dialing + ${endingInAll}::int as "organizationFree", j.*
    from organizations o
    left join lateral (
      select * from (${some(sql`>`)}) as later union all select * from (${some(sql`<=`)}) as sooner limit ${limit}
    ) as j on o.lease_limit + ${endingInAll}::int > o.dialing
    where o.id = ${organizationId}
  `.execute(db);
  return {
    organizationFree: rows[0]?.organizationFree ?? 0,
    candidates: rows
      .filter((row) => row.id !== null)
      .map((row) => ({ ...row, free: row.free + (ending.get(row.id) ?? 0) })),
  };
}

/**
 * When there may next be contacts to give, without a command or a report: a retry of a running job of the organization
 * comes due, or its hours begin.
 */
export async function nextDueAt(db: Database, organizationId: number): Promise<Date | null> {
  const { rows } = await sql<{ dueAt: Date | null }>`
    select min(next.due_at) as "dueAt"
    from organizations o
    join batch_jobs b on b.organization_id = o.id
    cross join lateral (
      (
        select due_at from retries
        where b.waiting_retry_contacts > 0 and organization_id = b.organization_id and job_id = b.id
          and due_at > ${timeNow} and ${isOpen}
        order by due_at limit 1
      )
      union all
      select z.open_from from ${zoneSetOfJob} and z.open_from > ${timeNow}
    ) as next
    where o.id = ${organizationId} and b.status = 'running' and b.hours_revision = o.hours_revision
      and (b.waiting_retry_contacts > 0 or (b.zone_sets > 0 and b.pending_contacts > 0))
  `.execute(db);
  return rows[0]?.dueAt ?? null;
}
