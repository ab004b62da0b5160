import { type RawBuilder, sql } from "kysely";
import type { Database } from "../connections/database.ts";
import { often } from "../connections/prepared.ts";
import { createStatement } from "../connections/statement.ts";
import { callsAllowed, limitNow, nextCall, nextRoom } from "./pace.ts";

/** Stands first in the statements below: the time that they go by, so that an index can be searched for it. */
const lookedAt = (time: RawBuilder<Date>) => sql`with looked as materialized (select ${time} as at)`;
const timeNow = sql<Date>`(select at from looked)`;

/** The rows that say when contacts of the job b are open, by their sets; only a job with hours has one, or several. */
const zoneSetsOfJob = sql`
  zone_sets z where b.zone_sets > 0 and z.organization_id = b.organization_id and z.job_id = b.id`;
const isOpenNow = sql`z.open_from <= ${timeNow} and z.open_until > ${timeNow}`;

/** Contacts of the job b of the organization o may be leased now, as far as hours say. Looked up job by job. */
const isOpen = sql`b.hours_revision = o.hours_revision and (b.zone_sets = 0 or (
  select true from ${zoneSetsOfJob} and ${isOpenNow} limit 1))`;

/** The retries of set 0 of the job b, and those of its set z, if that is another, that have come due. */
const dueInSet0 = sql`
  select from retries r
  where r.organization_id = b.organization_id and r.job_id = b.id and r.due_at <= ${timeNow}`;
const dueInSet = sql`
  select from retries r
  where r.organization_id = b.organization_id and r.job_id = b.id and r.zone_set = z.zone_set and r.zone_set > 0
    and r.zone_due_at <= ${timeNow}`;

/** How many contacts are pending in the set z of the job b. */
export const pendingInSet = sql`case when z.zone_set > 0 then z.pending_contacts else b.pending_contacts - (
  select coalesce(sum(other.pending_contacts), 0)::int from zone_sets other
  where other.organization_id = b.organization_id and other.job_id = b.id and other.zone_set > 0
) end`;

/** The same of a job in several sets: a set in which nobody is to be called is none. */
const hasOpenSet = sql`b.hours_revision = o.hours_revision and (b.zone_sets = 0 or (
  select true from ${zoneSetsOfJob} and ${isOpenNow} and (
    b.zone_sets = 1 or ${pendingInSet} > 0
    or b.waiting_retry_contacts > 0 and (z.zone_set = 0 or (select true from (${dueInSet}) as due limit 1))
  ) limit 1))`;

/** Contacts in a set of time zones that is open now: how many are pending, and how many retries are due. */
export type OpenSet = { readonly zoneSet: number; readonly pending: number; readonly due: number };

/**
 * A running job that may have contacts to give: how many it may give, and has given, how many it may have, and what its
 * workers need.
 */
export type Candidate = {
  id: string;
  free: number;
  dialing: number;
  priority: number;
  /** Of all sets that are open. */
  pending: number;
  due: number;
  /** How many it has, open or not. */
  zoneSets: number;
  /** Those that are open and have contacts, if it has several: the one that closes first comes first. */
  sets: readonly OpenSet[] | null;
  fromPhoneNumberId: string;
  maxAttempts: number;
};

/** Which jobs are looked at: no others than these, if any are given. */
export type Choice = {
  readonly afterJobId: string;
  readonly onlyJobIds: readonly string[];
  readonly limit: number;
};

/**
 * By job: how many leases end before its contacts are leased, and how many more of its retries are looked at; and when
 * they are leased, if that is later than now.
 */
type Expected = {
  readonly asOf?: Date | undefined;
  readonly ending?: ReadonlyMap<string, number>;
  readonly lookAhead?: ReadonlyMap<string, number>;
};

const none: ReadonlyMap<string, number> = new Map();

type Row = Candidate & { id: string | null; allowed: number | null; organizationFree: number };

const candidates = createStatement<
  Choice & {
    organizationId: number;
    isOfAnyJob: boolean;
    endingIds: readonly string[];
    endingInAll: number;
    aheadIds: readonly string[];
    aheadCounts: readonly number[];
    asOf: Date | null;
  },
  Row
>((of) => {
  const mostDue = sql`greatest(0, b.concurrent_call_limit - b.dialing_contacts + ${of.endingInAll}::int)
    + coalesce((
      select count from unnest(${of.aheadIds}::uuid[], ${of.aheadCounts}::int[]) as ahead (id, count)
      where ahead.id = b.id
    ), 0)`;
  const countDue = (due: RawBuilder<unknown>) => sql`case when b.waiting_retry_contacts = 0 then 0 else (
    select count(*)::int from (${due} limit ${mostDue}) as due) end`;
  const openSets = sql`
    select coalesce(
      json_agg(json_build_object('zoneSet', zone_set, 'pending', pending, 'due', due) order by open_until, zone_set), '[]')
    from (
      select z.zone_set, z.open_until, ${pendingInSet} as pending,
        case when z.zone_set = 0 then ${countDue(dueInSet0)} else ${countDue(dueInSet)} end as due
      from ${zoneSetsOfJob} and ${isOpenNow}
    ) as s
    where pending > 0 or due > 0`;
  const some = (side: RawBuilder<unknown>) => sql`
    select b.id, ${limitNow("b")} - b.dialing_contacts as free, ${callsAllowed("b")} as allowed,
      b.dialing_contacts as dialing, b.priority, b.pending_contacts as pending,
      b.from_phone_number_id as "fromPhoneNumberId", b.max_attempts as "maxAttempts",
      b.zone_sets as "zoneSets", ${countDue(dueInSet0)} as due, case when b.zone_sets > 1 then (${openSets}) end as sets
    from batch_jobs b
    where b.organization_id = o.id and b.status = 'running' and b.id ${side} ${of.afterJobId}
      and (${limitNow("b")} > b.dialing_contacts or b.id = any(${of.endingIds}::uuid[]))
      and ${callsAllowed("b")} is distinct from 0
      and (b.pending_contacts > 0 or b.waiting_retry_contacts > 0)
      and (b.end_at is null or b.end_at > ${timeNow})
      and ${hasOpenSet}
      and (${of.isOfAnyJob} or b.id = any(${of.onlyJobIds}::uuid[]))
    order by b.id
    limit ${of.limit}`;
  return sql`${often}
    ${lookedAt(sql`greatest(clock_timestamp(), ${of.asOf}::timestamptz)`)}
    select least(o.lease_limit - o.dialing + ${of.endingInAll}::int, ${callsAllowed("o")}) as "organizationFree", j.*
    from organizations o
    left join lateral (
      select * from (${some(sql`>`)}) as later
      union all select * from (${some(sql`<=`)}) as sooner limit ${of.limit}
    ) as j on o.lease_limit + ${of.endingInAll}::int > o.dialing and ${callsAllowed("o")} is distinct from 0
    where o.id = ${of.organizationId}
  `;
});

/**
 * The organization's jobs that may give contacts, once so many leases of these jobs have ended as `ending` says: those
 * after `afterJobId` in the order of their ids, then those from the start. Takes no lock.
 */
export async function findCandidates(
  db: Database,
  organizationId: number,
  choice: Choice,
  { ending = none, lookAhead = none, asOf }: Expected = {},
): Promise<{ organizationFree: number; candidates: Candidate[] }> {
  const rows = await candidates(db, {
    ...choice,
    organizationId,
    isOfAnyJob: choice.onlyJobIds.length === 0,
    endingIds: [...ending.keys()],
    endingInAll: [...ending.values()].reduce((sum, count) => sum + count, 0),
    aheadIds: [...lookAhead.keys()],
    aheadCounts: [...lookAhead.values()],
    asOf: asOf ?? null,
  });
  return {
    organizationFree: rows[0]?.organizationFree ?? 0,
    candidates: rows
      .filter((row) => row.id !== null)
      .map(({ allowed, ...row }) => {
        const ended = ending.get(row.id) ?? 0;
        return {
          ...row,
          ...(row.sets === null ? {} : totalOf(row.sets)),
          free: Math.min(row.free + ended, allowed ?? Infinity),
          dialing: row.dialing - ended,
        };
      }),
  };
}

const totalOf = (sets: readonly OpenSet[]) => ({
  pending: sets.reduce((sum, { pending }) => sum + pending, 0),
  due: sets.reduce((sum, { due }) => sum + due, 0),
});

export type NextReady = {
  /** When there may next be contacts to give, for any reason. */
  readonly readyAt: Date | null;
  /** When hours begin or retries come due: the next few times, each once. */
  readonly opensAt: readonly Date[];
};

/** As many openings as may come before somebody has the time to ask again. */
const fewOpenings = 4;

const nextReady = createStatement<
  { organizationId: number; lookedMsAgo: number },
  { readyAt: Date | null; opensAt: readonly (Date | null)[] | null }
>((of) => {
  const since = sql<Date>`(select clock_timestamp() - ${of.lookedMsAgo}::int * interval '1 ms')`;
  return sql`${often}
    ${lookedAt(sql`clock_timestamp()`)}
    select least(
      min(next.ready_at), min(${nextCall("b", since)}) filter (where ${isOpen}),
      min(${nextRoom("b", since)}) filter (where ${isOpen}), ${nextCall("o", since)}
    ) as "readyAt",
      (array_agg(distinct next.ready_at))[:${sql.lit(fewOpenings)}] as "opensAt"
    from organizations o
    left join batch_jobs b on b.organization_id = o.id and b.status = 'running'
      and b.hours_revision = o.hours_revision
      and (b.waiting_retry_contacts > 0 or (b.zone_sets > 0 and b.pending_contacts > 0)
        or b.calls_per_second is not null or b.ramp_up_ms is not null)
    left join lateral (
      (
        select due_at as ready_at from retries
        where b.waiting_retry_contacts > 0 and organization_id = b.organization_id and job_id = b.id
          and due_at > ${since} and ${isOpen}
        order by due_at limit 1
      )
      union all
      select r.zone_due_at from zone_sets z
      cross join lateral (
        select zone_due_at from retries
        where organization_id = b.organization_id and job_id = b.id and zone_set = z.zone_set and zone_set > 0
          and zone_due_at > ${since}
        order by zone_due_at limit 1
      ) as r
      where b.zone_sets > 1 and b.waiting_retry_contacts > 0 and z.organization_id = b.organization_id
        and z.job_id = b.id and z.zone_set > 0 and ${isOpenNow}
      union all
      select z.open_from from ${zoneSetsOfJob} and z.open_from > ${since}
    ) as next on true
    where o.id = ${of.organizationId}
    group by o.id
  `;
});

/**
 * When there may next be contacts to give that could not be given when somebody looked, so many ms ago: a retry of a
 * running job of the organization comes due, or its hours begin, or its pace, that of the organization, or its growing
 * limit allows one more call. It is in the past for what has come meanwhile.
 */
export async function nextReadyAt(db: Database, organizationId: number, lookedMsAgo = 0): Promise<NextReady> {
  const [row] = await nextReady(db, { organizationId, lookedMsAgo: Math.ceil(lookedMsAgo) });
  return { readyAt: row?.readyAt ?? null, opensAt: row?.opensAt?.flatMap((at) => at ?? []) ?? [] };
}
