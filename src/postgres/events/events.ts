import { type RawBuilder, sql } from "kysely";
import { largestListBytes } from "../../domain/answer-size.ts";
import type { EventType, LoggedEvent, NewEvent, Tell } from "../../domain/event.ts";
import { contactStatus } from "../contacts/current-contacts.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { stretchOf } from "../schema/large-indexes.ts";
import { thenCommit } from "../connections/sure-commits.ts";

/*
 * The event log of an organization. An event is in the transaction of what it tells of, with the next number of the
 * log, whose head the transaction locks last. So numbers have no gaps and are in the order of commits: whoever has seen
 * one has seen all that are below it.
 *
 * An attempt that ended is its own event, and has its number. Where an attempt is changed later, what it was goes into
 * the table of events, and so does what it is then.
 */

/** The columns of events that are to be written, as functions take them. */
export const eventColumns = (events: readonly NewEvent[]) => ({
  types: plainArray(events.map(({ type }) => type)),
  actors: plainArray(events.map(({ actor }) => (typeof actor === "string" ? actor : "api_key"))),
  apiKeyIds: plainArray(events.map(({ actor }) => (typeof actor === "string" ? null : actor.apiKeyId))),
  requestIds: events.map(({ requestId }) => requestId),
  jobIds: plainArray(events.map(({ batchJobId }) => batchJobId)),
  revisions: plainArray(events.map(({ revision }) => revision)),
  numbers: plainArray(events.map(({ number }) => number)),
  data: events.map(({ data }) => (data === undefined ? null : JSON.stringify(data))),
});

/**
 * Writes events of an organization, and commits: it is the last statement of its transaction. The head of the log is
 * locked by then.
 */
export async function writeEvents(
  trx: Trx,
  organizationId: number,
  events: readonly NewEvent[],
): Promise<void> {
  if (events.length === 0) return;
  const { types, actors, apiKeyIds, requestIds, jobIds, revisions, numbers, data } = eventColumns(events);
  await sql`
    select from ${sql.id(functions.writeEvents.name)}(
      ${organizationId}, null, ${types}, ${actors}, ${apiKeyIds}, ${requestIds}, ${jobIds}, ${revisions}, ${numbers},
      ${data})
    ${thenCommit}
  `.execute(trx);
}

/** Does the work, then writes what it told of, as the last of the transaction. */
export async function telling<T>(
  trx: Trx,
  organizationId: number,
  work: (tell: Tell) => Promise<T>,
): Promise<T> {
  const events: NewEvent[] = [];
  const result = await work((event) => events.push(event));
  await writeEvents(trx, organizationId, events);
  return result;
}

/** What an attempt tells, as `AttemptEnded`, and as whom; of one that is suppressed how many there were before. */
const attempt = (a: string) => ({
  type: sql`case when ${sql.ref(`${a}.outcome`)} = 'suppressed' then 'contact.suppressed' else 'contact.attempt_ended' end`,
  actor: sql`
    case when ${sql.ref(`${a}.outcome`)} = 'suppressed' then 'service'
      when ${sql.ref(`${a}.reported_at`)} is null then 'lease_expiry' else 'worker' end`,
  data: sql`
    case when ${sql.ref(`${a}.outcome`)} = 'suppressed' then json_build_object('attempts', ${sql.ref(`${a}.attempt`)} - 1)
    else json_build_object(
      'attempt', ${sql.ref(`${a}.attempt`)}, 'outcome', ${sql.ref(`${a}.outcome`)},
      'status', ${contactStatus({ isLeased: sql`false`, outcome: sql.ref(`${a}.outcome`), nextAttemptAt: sql.ref(`${a}.next_attempt_at`) })},
      'nextAttemptAt', ${sql.ref(`${a}.next_attempt_at`)}, 'leasedAt', ${sql.ref(`${a}.leased_at`)},
      'endedAt', ${sql.ref(`${a}.ended_at`)}, 'reportedAt', ${sql.ref(`${a}.reported_at`)},
      'errorCode', ${sql.ref(`${a}.error_code`)}, 'callDurationMs', ${sql.ref(`${a}.call_duration_ms`)},
      'providerCallId', ${sql.ref(`${a}.provider_call_id`)}, 'workerId', ${sql.ref(`${a}.worker_id`)}) end`,
});

/** What an attempt, by this name in a statement, tells now. */
export const attemptData = (name: string): RawBuilder<object> => attempt(name).data as RawBuilder<object>;

/** Inserts, as a part of a statement, what the chosen attempts were as events: they are about to be others. */
export const keepAttempts = (chosen: RawBuilder<unknown>): RawBuilder<unknown> => {
  const { type, actor, data } = attempt("a");
  return sql`
    insert into events (
      organization_id, sequence, occurred_at, type, actor, request_id, batch_job_id, number, data)
    select a.organization_id, a.sequence, a.ended_at, ${type}, ${actor}, '', a.job_id, a.number, ${data}
    from ${chosen} where a.sequence is not null`;
};

/** Where a log ends, and where it begins now. */
export type Head = { readonly sequence: number; readonly firstSequence: number };

/** Of a log in which nothing is yet. */
export const noHead: Head = { sequence: 0, firstSequence: 1 };

/** The heads of these organizations' logs. */
export async function readHeads(
  db: Database,
  organizationIds: readonly number[],
): Promise<Map<number, Head>> {
  const { rows } = await sql<Head & { organizationId: number }>`
    select h.organization_id as "organizationId", h.sequence, h.first_sequence as "firstSequence"
    from unnest(${plainArray(organizationIds)}::int[]) as g (organization_id)
    cross join lateral (select * from event_heads where organization_id = g.organization_id limit 1) as h
  `.execute(db);
  const found = new Map(rows.map(({ organizationId, ...head }) => [organizationId, head]));
  return new Map(organizationIds.map((id) => [id, found.get(id) ?? noHead]));
}

/** What is asked for of a log: these types and these jobs, or all if none are named. */
export type EventFilter = {
  readonly types: readonly EventType[];
  readonly batchJobIds: readonly string[];
};

export type EventPage = {
  readonly events: LoggedEvent[];
  /** The last that was looked at: the log goes on after it. */
  readonly lastSequence: number;
  readonly head: Head;
};

/**
 * The rows of a table that tell something after a place in the log, in the order of the log: those of the whole log, or
 * of each of some jobs by itself, to the end of a stretch. A planner that knows of one job alone would look for
 * another's in the whole log: the order that is asked for there is one that only the index of jobs has.
 */
function partsOf(
  table: "events" | "attempts",
  columns: RawBuilder<unknown>,
  {
    organizationId,
    batchJobIds,
    size,
  }: { organizationId: number; batchJobIds: readonly string[]; size: number },
): RawBuilder<unknown> {
  const jobId = sql.ref(table === "events" ? "t.batch_job_id" : "t.job_id");
  const rows = (condition: RawBuilder<unknown>, place: RawBuilder<unknown>) => sql`
    select t.sequence, ${jobId} as job_id, ${columns} from ${sql.table(table)} t
    where t.organization_id = ${organizationId} and ${condition}
    order by ${place} fetch first (${size}) rows with ties`;
  if (batchJobIds.length === 0) {
    return sql`select null::uuid as part, r.* from (${rows(sql`t.sequence > h.after`, sql`t.sequence`)}) as r`;
  }
  const stretch = stretchOf(sql.ref("t.sequence"));
  const isAfter = sql`${stretch} >= ${stretchOf(sql.ref("h.after"))} and t.sequence + 0 > h.after`;
  return sql`
    select asked.id as part, r.* from unnest(${plainArray(batchJobIds)}::uuid[]) as asked (id)
    cross join lateral (${rows(sql`${jobId} = asked.id and ${isAfter}`, stretch)}) as r`;
}

/**
 * The first `size` events after one that are asked for, in their order; about `mostLookedAt` are looked at. Head and
 * events are of one instant.
 */
export async function readEvents(
  db: Database,
  organizationId: number,
  after: number,
  filter: EventFilter,
  { size, mostLookedAt }: { size: number; mostLookedAt: number },
): Promise<EventPage> {
  const { types, batchJobIds } = filter;
  const isType = types.length === 0 ? sql`true` : sql`type = any(${plainArray(types)}::text[])`;
  const ofAttempts = types.length === 0 || types.some((type) => type.startsWith("contact."));
  const told = attempt("a");
  // Where every event that is looked at is asked for, nobody needs more of a part than of the whole.
  const share = Math.ceil(mostLookedAt / Math.max(1, batchJobIds.length));
  const part = { organizationId, batchJobIds, size: types.length === 0 ? Math.min(size, share) : share };
  const own = partsOf(
    "events",
    sql`t.type, t as event, null::attempts as attempt, false as is_attempt`,
    part,
  );
  const attempts = partsOf(
    "attempts",
    sql`${attempt("t").type} as type, null::events as event, t as attempt, true as is_attempt`,
    part,
  );
  const { rows } = await sql<
    {
      headSequence: number;
      firstSequence: number;
      chosen: number;
      reached: number | null;
    } & (LoggedEvent | { sequence: null })
  >`
    with h as materialized (
      select coalesce(max(sequence), 0) as sequence, coalesce(max(first_sequence), 1) as first_sequence,
        greatest(${after}::bigint, coalesce(max(first_sequence), 1) - 1) as after
      from event_heads where organization_id = ${organizationId}
    ), looked as materialized (
      select u.* from h cross join lateral (
        ${ofAttempts ? sql`${own} union all ${attempts}` : own}
      ) as u
    ), reached as materialized (
      -- Where there may be more of a part than was looked at, nothing is known of what comes after.
      select min(last) as sequence from (
        select max(sequence) as last from looked group by part, is_attempt having count(*) >= ${part.size}
      ) as l
    ), chosen as materialized (
      -- An attempt tells some 400 bytes at most.
      select *, sum(bytes) over (order by sequence) as sum, row_number() over (order by sequence) as place
      from (
        select *, coalesce(octet_length((event).data::text), 0) + 600 as bytes from looked
        where ${isType} and sequence <= coalesce((select sequence from reached), ${Number.MAX_SAFE_INTEGER}::bigint)
        order by sequence limit ${size}
      ) as l
    ), found as materialized (
      select * from chosen where sum <= ${largestListBytes} or place = 1
    )
    select h.sequence as "headSequence", h.first_sequence as "firstSequence",
      (select count(*)::int from chosen) as chosen, (select sequence from reached) as reached, f.sequence,
      coalesce(e.occurred_at, a.ended_at) as "occurredAt", f.type, coalesce(e.actor, ${told.actor}) as actor,
      e.api_key_id as "apiKeyId", k.name as "apiKeyName", coalesce(e.request_id, '') as "requestId",
      f.job_id as "batchJobId", e.revision, coalesce(e.number, a.number) as number,
      case when a.sequence is null then e.data::json else ${told.data} end as data, f.bytes
    from h
    left join found f on true
    left join lateral (select (f.event).*) as e on true
    left join lateral (select (f.attempt).*) as a on true
    left join lateral (
      select name from api_keys where organization_id = ${organizationId} and id = e.api_key_id limit 1
    ) as k on true
    order by f.sequence
  `.execute(db);
  const [first] = rows;
  if (first === undefined) throw new Error("reading events gave no answer");
  const { chosen, reached } = first;
  const head = { sequence: first.headSequence, firstSequence: first.firstSequence };
  const events = rows.flatMap((row): LoggedEvent[] => (row.sequence === null ? [] : [toEvent(row)]));
  const isFull = chosen === size || events.length < chosen;
  const last = isFull ? events.at(-1)?.sequence : reached;
  return { events, lastSequence: last ?? head.sequence, head };
}

const toEvent = (row: LoggedEvent): LoggedEvent => ({
  sequence: row.sequence,
  type: row.type,
  occurredAt: row.occurredAt,
  actor: row.actor,
  apiKeyId: row.apiKeyId,
  apiKeyName: row.apiKeyName,
  requestId: row.requestId,
  batchJobId: row.batchJobId,
  revision: row.revision,
  number: row.number,
  data: row.data,
  bytes: row.bytes,
});

/** For so long events are kept where nothing else is said. */
export const defaultEventRetentionDays = 30;

const isOld = (days: number) =>
  sql`occurred_at < (select clock_timestamp() - make_interval(days => ${days}::int))`;

/** The oldest that are kept of an organization's log, of either kind. */
const oldest = (organizationId: RawBuilder<unknown>, first: RawBuilder<unknown>, size: number) => sql`
  select sequence, occurred_at from (
    select * from (
      select sequence, occurred_at from events
      where organization_id = ${organizationId} and sequence >= ${first} order by sequence limit ${size}
    ) as e
    union all
    select * from (
      select sequence, ended_at from attempts
      where organization_id = ${organizationId} and sequence >= ${first} order by sequence limit ${size}
    ) as a
  ) as u
  order by sequence limit ${size}`;

/** Up to `limit` organizations whose log begins with what is older than so many days. */
export async function organizationsWithOldEvents(
  db: Database,
  days: number,
  limit: number,
): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select h.organization_id as id from event_heads h
    cross join lateral (${oldest(sql`h.organization_id`, sql`h.first_sequence`, 1)}) as e
    where ${isOld(days)}
    limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/**
 * Has an organization's log begin later: those of its `size` oldest events that are older than so many days are in it
 * no more. Answers how many. Attempts stay as long as their jobs.
 */
export async function dropOldEvents(
  db: Database,
  organizationId: number,
  days: number,
  size: number,
): Promise<number> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ dropped: number; last: number | null }>`
      with looked as materialized (
        select e.* from event_heads h
        cross join lateral (${oldest(sql`h.organization_id`, sql`h.first_sequence`, size)}) as e
        where h.organization_id = ${organizationId}
      ), old as (
        select sequence from looked
        where sequence < coalesce((select min(sequence) from looked where not (${isOld(days)})), 9223372036854775807)
      ), removed as (
        delete from events where organization_id = ${organizationId} and sequence = any (array(select sequence from old))
      )
      select count(*)::int as dropped, max(sequence) as last from old
    `.execute(trx);
    const { dropped, last } = rows[0] ?? { dropped: 0, last: null };
    if (last === null) return 0;
    await sql`
      update event_heads set first_sequence = greatest(first_sequence, ${last}::bigint + 1)
      where organization_id = ${organizationId}
      ${thenCommit}
    `.execute(trx);
    return dropped;
  });
}
