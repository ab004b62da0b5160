import { type RawBuilder, type SqlBool, sql } from "kysely";
import type { Trx } from "./batch-jobs.ts";
import { type CountChanges, moveCounts, noteMove } from "./contact-counts.ts";
import type { Database } from "./database.ts";
import type { BatchJobRow } from "./tables.ts";

/** Read once in a statement, so that an index can be searched for it. */
const timeNow = sql<Date>`(select clock_timestamp())`;

/** What the transactions that lease and report begin with: the organization's lock, and the time. */
export type LockedOrganization = { free: number; now: Date };

/**
 * Locks the organization until the transaction ends.
 *
 * From here on the transaction looks rows up by index only: without statistics of a table that has just grown the planner
 * would read the whole of it to find a few hundred rows.
 */
export async function lockOrganization(trx: Trx, id: string): Promise<LockedOrganization> {
  const { rows } = await sql<LockedOrganization>`
    select lease_limit - dialing as free, date_trunc('milliseconds', clock_timestamp()) as now,
      set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true),
      set_config('enable_mergejoin', 'off', true)
    from organizations where id = ${id} for no key update
  `.execute(trx);
  const [row] = rows;
  if (row === undefined) throw new Error("a caller's organization is gone");
  return row;
}

/** Locks those of the jobs that are the organization's, in the order of their ids. */
export async function lockJobs(
  trx: Trx,
  organizationId: string,
  ids: readonly string[],
): Promise<Map<string, BatchJobRow>> {
  const rows = await trx
    .selectFrom("batch_jobs")
    .selectAll()
    .where(sql<SqlBool>`id = any(${ids}::uuid[])`)
    .where("organization_id", "=", organizationId)
    .orderBy("id")
    .forNoKeyUpdate()
    .execute();
  return new Map(rows.map((row) => [row.id, row]));
}

/** A running job that may have contacts to give: how many it may give, and how many it may have. */
export type Candidate = { id: string; free: number; pending: number; due: number };

/**
 * The organization's jobs that may give contacts: those after `afterJobId` in the order of their ids, then those from the
 * start. Takes no lock.
 */
export async function findCandidates(
  db: Database,
  organizationId: string,
  afterJobId: string,
  onlyJobIds: readonly string[],
  limit: number,
): Promise<{ organizationFree: number; candidates: Candidate[] }> {
  const some = (side: RawBuilder<unknown>) => sql`
    select b.id, b.concurrent_call_limit - b.dialing_contacts as free, b.pending_contacts as pending,
      case when b.waiting_retry_contacts = 0 then 0 else (
        select count(*)::int from (
          select from retries r where r.job_id = b.id and r.due_at <= ${timeNow}
          limit b.concurrent_call_limit - b.dialing_contacts
        ) as due)
      end as due
    from batch_jobs b
    where b.organization_id = o.id and b.status = 'running' and b.id ${side} ${afterJobId}
      and b.concurrent_call_limit > b.dialing_contacts
      and (b.pending_contacts > 0 or b.waiting_retry_contacts > 0)
      and (${onlyJobIds.length === 0} or b.id = any(${onlyJobIds}::uuid[]))
    order by b.id
    limit ${limit}`;
  const { rows } = await sql<Candidate & { id: string | null; organizationFree: number }>`
    select o.lease_limit - o.dialing as "organizationFree", j.*
    from organizations o
    left join lateral (
      select * from (${some(sql`>`)}) as later union all select * from (${some(sql`<=`)}) as sooner limit ${limit}
    ) as j on o.lease_limit > o.dialing
    where o.id = ${organizationId}
  `.execute(db);
  return {
    organizationFree: rows[0]?.organizationFree ?? 0,
    candidates: rows.filter((row) => row.id !== null),
  };
}

/** When the next retry of a running job of the organization comes due. */
export async function nextRetryAt(db: Database, organizationId: string): Promise<Date | null> {
  const { rows } = await sql<{ dueAt: Date | null }>`
    select min(r.due_at) as "dueAt"
    from batch_jobs b
    cross join lateral (
      select due_at from retries where job_id = b.id and due_at > ${timeNow} order by due_at limit 1
    ) as r
    where b.organization_id = ${organizationId} and b.status = 'running' and b.waiting_retry_contacts > 0
  `.execute(db);
  return rows[0]?.dueAt ?? null;
}

/** The numbers of the retries of these locked jobs that are due, the longest due first, at most so many of each. */
export async function findDueRetries(
  trx: Trx,
  wanted: ReadonlyMap<string, number>,
): Promise<{ jobId: string; number: number }[]> {
  if ([...wanted.values()].every((count) => count <= 0)) return [];
  const { rows } = await sql<{ jobId: string; number: number }>`
    select w.job_id as "jobId", r.number
    from unnest(${[...wanted.keys()]}::uuid[], ${[...wanted.values()]}::int[]) as w (job_id, wanted)
    cross join lateral (
      select number from retries where job_id = w.job_id and due_at <= ${timeNow}
      order by due_at limit w.wanted
    ) as r
  `.execute(trx);
  return rows;
}

/** A contact that is to be leased, and for whom. */
export type Opening = {
  jobId: string;
  number: number;
  leaseId: string;
  workerId: string;
  requestId: string;
  expiresAt: Date;
};

export type Lease = {
  leaseId: string;
  jobId: string;
  number: number;
  attempt: number;
  expiresAt: Date;
  phone: string;
  name: string;
  fields: Record<string, string>;
  fromPhoneNumberId: string;
  maxAttempts: number;
};

/** A contact that has been leased. */
export type Opened = Pick<Lease, "leaseId" | "jobId" | "number" | "attempt" | "phone" | "name" | "fields">;

/**
 * Opens an attempt at each of the contacts that may be called now, and skips the others. The transaction has locked the
 * organization and the jobs, and there is room for all of them.
 */
export async function openAttempts(
  trx: Trx,
  organizationId: string,
  now: Date,
  openings: readonly Opening[],
): Promise<Opened[]> {
  if (openings.length === 0) return [];
  const { rows } = await sql<Opened>`
    with given as (
      select * from unnest(
        ${openings.map((o) => o.jobId)}::uuid[], ${openings.map((o) => o.number)}::int[],
        ${openings.map((o) => o.leaseId)}::uuid[], ${openings.map((o) => o.workerId)}::text[],
        ${openings.map((o) => o.requestId)}::text[], ${openings.map((o) => o.expiresAt)}::timestamptz[]
      ) as g (job_id, number, lease_id, worker_id, request_id, expires_at)
    ), opened as (
      update contacts c
      set status = 'dialing', attempts = c.attempts + 1, next_attempt_at = null
      from given g
      where c.job_id = g.job_id and c.number = g.number
        and (c.status = 'pending' or (c.status = 'waiting_retry' and c.next_attempt_at <= ${now}))
      returning c.job_id, c.number, c.phone, c.name, c.fields, c.attempts,
        g.lease_id, g.worker_id, g.request_id, g.expires_at
    ), history as (
      insert into attempts (lease_id, job_id, number, attempt, worker_id, request_id, leased_at, expires_at)
      select lease_id, job_id, number, attempts, worker_id, request_id, ${now}, expires_at from opened
    ), taken as (
      delete from retries r using opened o where o.attempts > 1 and r.job_id = o.job_id and r.number = o.number
    )
    select lease_id as "leaseId", job_id as "jobId", number, attempts as attempt, phone, name, fields from opened
  `.execute(trx);
  const changes: CountChanges = new Map();
  for (const row of rows)
    noteMove(changes, row.jobId, row.attempt === 1 ? "pending" : "waiting_retry", "dialing");
  await moveCounts(trx, organizationId, changes);
  return rows;
}

/** The live leases that were opened under a request id. */
export async function findLeases(db: Database, organizationId: string, requestId: string): Promise<Lease[]> {
  return await db
    .selectFrom("attempts as a")
    .innerJoin("batch_jobs as j", "j.id", "a.job_id")
    .innerJoin("contacts as c", (join) =>
      join.onRef("c.job_id", "=", "a.job_id").onRef("c.number", "=", "a.number"),
    )
    .select([
      "a.lease_id as leaseId",
      "a.job_id as jobId",
      "a.number",
      "a.attempt",
      "a.expires_at as expiresAt",
      "c.phone",
      "c.name",
      "c.fields",
      "j.from_phone_number_id as fromPhoneNumberId",
      "j.max_attempts as maxAttempts",
    ])
    .where("j.organization_id", "=", organizationId)
    .where("a.request_id", "=", requestId)
    .where("a.request_id", "<>", "")
    .where("a.ended_at", "is", null)
    .where("a.expires_at", ">", sql<Date>`clock_timestamp()`)
    .orderBy("a.leased_at")
    .execute();
}

/** Puts off the end of those of the leases that are live; answers their new ends. */
export async function extendLeases(
  db: Database,
  organizationId: string,
  leaseIds: readonly string[],
  durationMs: number,
): Promise<Map<string, Date>> {
  const { rows } = await sql<{ leaseId: string; expiresAt: Date }>`
    update attempts a
    set expires_at = clock_timestamp() + ${durationMs} * interval '1 millisecond'
    from (
      select lease_id from attempts l
      where lease_id = any(${leaseIds}::uuid[])
        and (select organization_id from batch_jobs where id = l.job_id) = ${organizationId}
      order by lease_id for no key update
    ) as mine
    where a.lease_id = mine.lease_id and a.ended_at is null and a.expires_at > clock_timestamp()
    returning a.lease_id as "leaseId", a.expires_at as "expiresAt"
  `.execute(db);
  return new Map(rows.map((row) => [row.leaseId, row.expiresAt]));
}
