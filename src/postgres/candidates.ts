import { type RawBuilder, sql } from "kysely";
import type { Database } from "./database.ts";

/** Read once in a statement, so that an index can be searched for it. */
const timeNow = sql<Date>`(select clock_timestamp())`;

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

/** Which jobs are looked at: no others than these, if any are given. */
export type Choice = {
  readonly afterJobId: string;
  readonly onlyJobIds: readonly string[];
  readonly limit: number;
};

/** By job: how many leases end before its contacts are leased, and how many more of its retries are looked at. */
type Expected = {
  readonly ending?: ReadonlyMap<string, number>;
  readonly lookAhead?: ReadonlyMap<string, number>;
};

const none: ReadonlyMap<string, number> = new Map();

/**
 * The organization's jobs that may give contacts, once so many leases of these jobs have ended as `ending` says: those
 * after `afterJobId` in the order of their ids, then those from the start. Takes no lock.
 */
export async function findCandidates(
  db: Database,
  organizationId: number,
  { afterJobId, onlyJobIds, limit }: Choice,
  { ending = none, lookAhead = none }: Expected = {},
): Promise<{ organizationFree: number; candidates: Candidate[] }> {
  const endingIds = [...ending.keys()];
  const aheadIds = [...lookAhead.keys()];
  const endingInAll = [...ending.values()].reduce((sum, count) => sum + count, 0);
  const some = (side: RawBuilder<unknown>) => sql`
    select b.id, b.concurrent_call_limit - b.dialing_contacts as free, b.pending_contacts as pending,
      b.from_phone_number_id as "fromPhoneNumberId", b.max_attempts as "maxAttempts",
      case when b.waiting_retry_contacts = 0 then 0 else (
        select count(*)::int from (
          select from retries r
          where r.organization_id = b.organization_id and r.job_id = b.id and r.due_at <= ${timeNow}
          limit greatest(0, b.concurrent_call_limit - b.dialing_contacts + ${endingInAll}::int)
            + coalesce((
              select count from unnest(${aheadIds}::uuid[], ${[...lookAhead.values()]}::int[]) as ahead (id, count)
              where ahead.id = b.id
            ), 0)
        ) as due)
      end as due
    from batch_jobs b
    where b.organization_id = o.id and b.status = 'running' and b.id ${side} ${afterJobId}
      and (b.concurrent_call_limit > b.dialing_contacts or b.id = any(${endingIds}::uuid[]))
      and (b.pending_contacts > 0 or b.waiting_retry_contacts > 0)
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

/** When the next retry of a running job of the organization comes due. */
export async function nextRetryAt(db: Database, organizationId: number): Promise<Date | null> {
  const { rows } = await sql<{ dueAt: Date | null }>`
    select min(r.due_at) as "dueAt"
    from batch_jobs b
    cross join lateral (
      select due_at from retries
      where organization_id = b.organization_id and job_id = b.id and due_at > ${timeNow}
      order by due_at limit 1
    ) as r
    where b.organization_id = ${organizationId} and b.status = 'running' and b.waiting_retry_contacts > 0
  `.execute(db);
  return rows[0]?.dueAt ?? null;
}
