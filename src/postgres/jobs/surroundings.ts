import { type RawBuilder, sql } from "kysely";
import type { SetAround, Surroundings } from "../../domain/jobs/holds.ts";
import { type JobKey, writeJobKey } from "../../domain/jobs/job-id.ts";
import { pendingInSet } from "../leasing/candidates.ts";
import { zoneSetOf } from "../contacts/contact-blocks.ts";
import type { Database } from "../connections/database.ts";
import { asJobRows, isAsked } from "./job-rows.ts";
import { limitNow, nextCall, nextRoom } from "../leasing/pace.ts";

/** Due retries are not counted beyond this: for more a job's page would take longer than a tenth of a second. */
const mostDueCounted = 100_000;

/** What Postgres knows of how things are around a job. */
export type Stored = Omit<Surroundings, "hasWorker" | "sets"> & {
  readonly now: Date;
  readonly sets: readonly SetAround[] | undefined;
};

type SetRow = Omit<SetAround, "opensAt" | "nextRetryAt" | "waiting"> & {
  /** Null for set 0, which has the rest of the job's. */
  readonly waiting: number | null;
  readonly opensAtMs: number | null;
  readonly nextRetryMs: number | null;
};

/** Retries of the set z of the job b. */
const retriesInSet = sql`
  from retries r
  where r.organization_id = b.organization_id and r.job_id = b.id and r.zone_set = z.zone_set and r.zone_set > 0`;
const inMs = (at: RawBuilder<unknown>) => sql`(extract(epoch from ${at}) * 1000)::bigint`;

/** The sets of the job b, if it has several. */
const setsAround = (now: RawBuilder<Date>) => sql`case when b.zone_sets > 1 then (
  select json_agg(json_build_object(
    'zoneSet', z.zone_set, 'isKnown', z.zone_set = 0 or z.zones <> '{}',
    'isOpen', coalesce(z.open_from <= ${now} and ${now} < z.open_until, false),
    'opensAtMs', case when z.open_from > ${now} then ${inMs(sql`z.open_from`)} end, 'pending', ${pendingInSet},
    'waiting', case when z.zone_set > 0 then (
      select count(*)::int from (select ${retriesInSet} limit ${mostDueCounted}) as counted) end,
    'dueRetries', case when z.zone_set = 0 then due.retries else (
      select count(*)::int from (
        select ${retriesInSet} and r.zone_due_at <= ${now} limit ${mostDueCounted}) as counted) end,
    'nextRetryMs', case when z.zone_set = 0 then ${inMs(sql`next.at`)} else (
      select ${inMs(sql`r.zone_due_at`)} ${retriesInSet} and r.zone_due_at > ${now} order by r.zone_due_at limit 1) end
  ) order by z.zone_set)
  from zone_sets z where z.organization_id = b.organization_id and z.job_id = b.id
) end`;

const dateOrNull = (ms: number | null): Date | null => (ms === null ? null : new Date(ms));

function toSets(rows: readonly SetRow[], waitingInAll: number): SetAround[] {
  const inOthers = rows.reduce((sum, { waiting }) => sum + (waiting ?? 0), 0);
  return rows.map(({ waiting, opensAtMs, nextRetryMs, ...set }) => ({
    ...set,
    waiting: waiting ?? Math.max(0, waitingInAll - inOthers),
    opensAt: dateOrNull(opensAtMs),
    nextRetryAt: dateOrNull(nextRetryMs),
  }));
}

/** How things are around those of the jobs that are there, by their names. */
export async function readSurroundings(db: Database, jobs: readonly JobKey[]): Promise<Map<string, Stored>> {
  const now = sql<Date>`clock.now`;
  type Row = JobKey & Omit<Stored, "sets"> & { setRows: readonly SetRow[] | null; waiting: number };
  const { rows } = await sql<Row>`
    select b.organization_id as "organizationId", b.id, clock.now,
      b.zone_sets = 0 or coalesce(z.open_from <= clock.now and clock.now < z.open_until, false) as "isOpen",
      case when z.open_from > clock.now then z.open_from end as "opensAt",
      ${limitNow("b")} - b.dialing_contacts as "jobFree", ${nextRoom("b", now)} as "jobFreeAt",
      o.lease_limit - o.dialing as "organizationFree",
      greatest(${nextCall("b", now)}, ${nextCall("o", now)}) as "nextCallAt",
      due.retries as "dueRetries", next.at as "nextRetryAt", ${setsAround(now)} as "setRows",
      b.waiting_retry_contacts as waiting
    from ${asJobRows(jobs)}
    cross join (select clock_timestamp() as now) as clock
    join batch_jobs b on ${isAsked}
    join organizations o on o.id = b.organization_id
    left join zone_sets z on z.organization_id = b.organization_id and z.job_id = b.id and z.zone_set = 0
    cross join lateral (
      select count(*)::int as retries from (
        select from retries
        where organization_id = b.organization_id and job_id = b.id and due_at <= clock.now
        limit ${mostDueCounted}
      ) as counted
    ) as due
    left join lateral (
      select due_at as at from retries
      where organization_id = b.organization_id and job_id = b.id and due_at > clock.now
      order by due_at limit 1
    ) as next on true
  `.execute(db);
  return new Map(
    rows.map(({ setRows, waiting, ...row }) => [
      writeJobKey(row),
      { ...row, sets: setRows === null ? undefined : toSets(setRows, waiting) },
    ]),
  );
}

/** The number of the set of time zones that a contact is in. */
export async function findZoneSet(
  db: Database,
  { organizationId, id }: JobKey,
  number: number,
): Promise<number> {
  const which = { organizationId: sql`${organizationId}`, jobId: sql`${id}`, number: sql`${number}::int` };
  const { rows } = await sql<{ zoneSet: number }>`
    select zone_set as "zoneSet" from ${zoneSetOf(which)} as s
  `.execute(db);
  return rows[0]?.zoneSet ?? 0;
}
