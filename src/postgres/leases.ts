import { type RawBuilder, type SqlBool, sql } from "kysely";
import type { Trx } from "./batch-jobs.ts";
import type { Outcome, StoredContactStatus } from "../domain/contact.ts";
import type { LeaseKey } from "../domain/lease-id.ts";
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
  if (row === undefined) throw new Error("a taker's organization is gone");
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

export type StoredLease = LeaseKey & {
  expiresAt: Date;
  phone: string;
  name: string;
  fields: Record<string, string>;
};

/** What one job may give: so many retries that are due, and these numbers from its list, none of them twice. */
export type Offer = { jobId: string; due: number; numbers: readonly number[] };

/** Who gets leases, how many at most, and for how long. */
export type LeaseTaker = { workerId: string; requestId: string; most: number; durationMs: number };

export type Opened = {
  /** The leases of each taker, in its place. */
  leases: StoredLease[][];
  /** The numbers of each offer that are open and had no room. Those that are neither here nor leased were not open. */
  left: number[][];
  /** The places of the takers whose request id has live leases. They get no others. */
  repeated: number[];
};

/** An array of numbers or enum words as Postgres reads it; much cheaper than what the driver makes of an array. */
const plainArray = (values: readonly (number | string | null)[]): string => `{${values.join(",")}}`;

/**
 * Leases as many of the offered contacts to the takers as are open and as both limits leave room for: retries first,
 * then the lists, in the order of the offers. One round trip and one commit.
 */
export async function openLeases(
  db: Database,
  organizationId: string,
  offers: readonly Offer[],
  takers: readonly LeaseTaker[],
): Promise<Opened> {
  const { rows } = await sql<{
    job: number;
    number: number | null;
    nonce: number | null;
    attempt: number;
    caller: number;
    leasedMs: number;
    phone: string;
    name: string;
    fields: string;
  }>`
    select job, number, nonce, attempt, caller, leased_ms as "leasedMs", phone, name, fields from open_leases(
      ${organizationId}, ${plainArray(offers.map((o) => o.jobId))}, ${plainArray(offers.map((o) => o.due))},
      ${plainArray(offers.flatMap((o, i) => o.numbers.map(() => i + 1)))},
      ${plainArray(offers.flatMap((o) => o.numbers))},
      ${plainArray(takers.flatMap((c, i) => Array.from({ length: c.most }, () => i + 1)))},
      ${takers.map((c) => c.workerId)}, ${takers.map((c) => c.requestId)},
      ${plainArray(takers.map((c) => c.durationMs))}
    )
  `.execute(db);
  const leases = takers.map((): StoredLease[] => []);
  const left = offers.map((): number[] => []);
  const repeated: number[] = [];
  for (const { job, number, nonce, attempt, caller, leasedMs, phone, name, fields } of rows) {
    if (number === null) repeated.push(caller - 1);
    else if (nonce === null) left[job - 1]?.push(number);
    else
      leases[caller - 1]?.push({
        jobId: offers[job - 1]?.jobId ?? "",
        number,
        attempt,
        nonce,
        expiresAt: new Date(leasedMs + (takers[caller - 1]?.durationMs ?? 0)),
        phone,
        name,
        fields: readFields(fields),
      });
  }
  return { leases, left, repeated };
}

const readFields = (json: string): Record<string, string> => (json === "{}" ? {} : JSON.parse(json));

/** The live leases that were opened under a request id. */
export async function findLeases(
  db: Database,
  organizationId: string,
  requestId: string,
): Promise<StoredLease[]> {
  return await db
    .selectFrom("leases as l")
    .innerJoin("batch_jobs as j", "j.id", "l.job_id")
    .innerJoin("contacts as c", (join) =>
      join.onRef("c.job_id", "=", "l.job_id").onRef("c.number", "=", "l.number"),
    )
    .select([
      "l.job_id as jobId",
      "l.number",
      "l.attempt",
      "l.nonce",
      "l.expires_at as expiresAt",
      "c.phone",
      "c.name",
      "c.fields",
    ])
    .where("j.organization_id", "=", organizationId)
    .where("l.request_id", "=", requestId)
    .where("l.request_id", "<>", "")
    .where("l.expires_at", ">", sql<Date>`clock_timestamp()`)
    .orderBy("l.leased_at")
    .execute();
}

/** The columns that name these leases, one row for each. */
export const asRows = (keys: readonly LeaseKey[]) => sql`unnest(
  ${plainArray(keys.map((k) => k.jobId))}::uuid[], ${plainArray(keys.map((k) => k.number))}::int[],
  ${plainArray(keys.map((k) => k.attempt))}::int[], ${plainArray(keys.map((k) => k.nonce))}::bigint[]
) with ordinality as g (job_id, number, attempt, nonce, place)`;

/** Puts off the end of those of the leases that are live; answers the new end of each. */
export async function extendLeases(
  db: Database,
  organizationId: string,
  keys: readonly LeaseKey[],
  durationMs: number,
): Promise<(Date | undefined)[]> {
  const { rows } = await sql<LeaseKey & { expiresAt: Date }>`
    update leases l
    set expires_at = clock_timestamp() + ${durationMs} * interval '1 millisecond'
    from (
      select o.job_id, o.number from ${asRows(keys)}
      cross join lateral (
        select job_id, number from leases
        where job_id = g.job_id and number = g.number and nonce = g.nonce
          and (select organization_id from batch_jobs where id = g.job_id) = ${organizationId}
        for no key update
      ) as o
      order by o.job_id, o.number
    ) as mine
    where l.job_id = mine.job_id and l.number = mine.number and l.expires_at > clock_timestamp()
    returning l.job_id as "jobId", l.number, l.attempt, l.nonce, l.expires_at as "expiresAt"
  `.execute(db);
  const ends = new Map(rows.map((row) => [nameOf(row), row.expiresAt]));
  return keys.map((key) => ends.get(nameOf(key)));
}

/** Tells leases apart. */
export const nameOf = ({ jobId, number, nonce }: LeaseKey): string => `${jobId} ${number} ${nonce}`;

/** What a worker tells of a call, beside its outcome. */
export type CallDetails = {
  errorCode: string;
  failureReason: string;
  callDurationMs: number | null;
  providerCallId: string;
};

/** How the attempt of a live lease ends. */
export type Ending = LeaseKey & {
  outcome: Outcome;
  /** After how long the contact is to be called again if its job goes on; null for never. */
  retryDelayMs: number | null;
  details: CallDetails | undefined;
};

export type Ended = {
  endedAt: Date;
  /** What each contact is now; undefined for a lease that was not live any more, and is left alone. */
  contacts: ({ status: StoredContactStatus; nextAttemptAt: Date | null } | undefined)[];
  /** The jobs that have ended by this. */
  finished: { id: string; revision: number }[];
};

const textOrNull = (text: string | undefined): string | null => (text === "" ? null : (text ?? null));

/** An array of texts; null where none of them says anything. */
function textArray(texts: (string | null)[]): (string | null)[] | string {
  return texts.every((text) => text === null) ? plainArray(texts.map(() => "null")) : texts;
}

/**
 * Ends live leases: their attempts become history, and contacts, counts and jobs follow. With `onlyExpired` those whose
 * time is over, and as not reported. One round trip and one commit.
 */
export async function endLeases(
  db: Database,
  organizationId: string,
  endings: readonly Ending[],
  { onlyExpired }: { onlyExpired: boolean },
): Promise<Ended> {
  const jobIds = [...new Set(endings.map((e) => e.jobId))].toSorted();
  const turns = new Map(jobIds.map((id, i) => [id, i + 1]));
  const { rows } = await sql<{
    endedMs: number;
    missed: number[] | null;
    goingOn: (boolean | null)[];
    finishedIds: string[] | null;
    finishedRevisions: number[] | null;
  }>`
    select ended_ms as "endedMs", missed, going_on as "goingOn", finished_ids as "finishedIds",
      finished_revisions as "finishedRevisions"
    from end_leases(
      ${organizationId}, ${onlyExpired}, ${plainArray(jobIds)},
      ${plainArray(endings.map((e) => turns.get(e.jobId) ?? 0))}, ${plainArray(endings.map((e) => e.number))},
      ${plainArray(endings.map((e) => e.nonce))}, ${plainArray(endings.map((e) => e.outcome))},
      ${plainArray(endings.map((e) => e.retryDelayMs ?? "null"))},
      ${textArray(endings.map((e) => textOrNull(e.details?.errorCode)))},
      ${textArray(endings.map((e) => textOrNull(e.details?.failureReason)))},
      ${plainArray(endings.map((e) => e.details?.callDurationMs ?? "null"))},
      ${textArray(endings.map((e) => textOrNull(e.details?.providerCallId)))}
    )
  `.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("ending leases gave no answer");
  const missed = new Set(row.missed);
  const isGoingOn = new Map(jobIds.map((id, i) => [id, row.goingOn[i] ?? false]));
  const contacts = endings.map(({ jobId, outcome, retryDelayMs }, i) => {
    if (missed.has(i + 1)) return undefined;
    if (retryDelayMs === null || isGoingOn.get(jobId) !== true)
      return { status: outcome, nextAttemptAt: null };
    return { status: "waiting_retry" as const, nextAttemptAt: new Date(row.endedMs + retryDelayMs) };
  });
  const finished = (row.finishedIds ?? []).map((id, i) => ({
    id,
    revision: row.finishedRevisions?.[i] ?? 0,
  }));
  return { endedAt: new Date(row.endedMs), contacts, finished };
}

/**
 * Takes live leases back as if they had not been given; their contacts can be leased at once. Answers whether each was
 * live.
 */
export async function removeLeases(
  trx: Trx,
  organizationId: string,
  keys: readonly LeaseKey[],
): Promise<boolean[]> {
  await lockOrganization(trx, organizationId);
  const jobs = await lockJobs(trx, organizationId, [...new Set(keys.map((k) => k.jobId))]);
  const own = keys.filter((k) => jobs.has(k.jobId));
  const { rows } = await sql<LeaseKey>`
    with removed as (
      delete from leases l using ${asRows(own)}
      where l.job_id = g.job_id and l.number = g.number and l.nonce = g.nonce
      returning l.*
    ), waiting as (
      insert into retries (job_id, number, due_at)
      select r.job_id, r.number, c.next_attempt_at
      from removed r join contacts c on c.job_id = r.job_id and c.number = r.number
      where r.attempt > 1
    )
    select job_id as "jobId", number, nonce, attempt from removed
  `.execute(trx);
  const changes: CountChanges = new Map();
  for (const { jobId, attempt } of rows)
    noteMove(changes, jobId, "dialing", attempt === 1 ? "pending" : "waiting_retry");
  await moveCounts(trx, organizationId, changes);
  const removed = new Set(rows.map(nameOf));
  return keys.map((key) => removed.delete(nameOf(key)));
}

/** The live leases whose time is over, and whose they are; the longest past first. */
export async function findExpired(
  db: Database,
  limit: number,
): Promise<(LeaseKey & { organizationId: string })[]> {
  return await db
    .selectFrom("leases as l")
    .innerJoin("batch_jobs as j", "j.id", "l.job_id")
    .select(["l.job_id as jobId", "l.number", "l.attempt", "l.nonce", "j.organization_id as organizationId"])
    .where("l.expires_at", "<=", sql<Date>`(select clock_timestamp())`)
    .orderBy("l.expires_at")
    .limit(limit)
    .execute();
}
