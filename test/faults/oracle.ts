import { type RawBuilder, sql } from "kysely";
import { type CallingHours, isOpen } from "../../src/domain/time/hours.ts";
import { isUuid } from "../../src/domain/jobs/job-id.ts";
import { type LeaseKey, readLeaseId, writeLeaseId } from "../../src/domain/contacts/lease-id.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
import { currentContacts } from "../../src/postgres/contacts/current-contacts.ts";
import { invariants } from "../../src/postgres/schema/invariants.ts";
import { asRows } from "../../src/postgres/leasing/lease-rows.ts";
import type { RedisClient } from "../../src/redis/connection.ts";
import { keysExpiryMs } from "../../src/redis/contact-list.ts";
import { placesOf } from "../support/whole-database.ts";
import type { Held, History, Suppressed, Told } from "./history.ts";
import { judgeWebhooks } from "./oracle-webhooks.ts";

/** A promise that was broken, and where. */
export type Violation = { readonly rule: string; readonly detail: string };

/** How a job's status may change; the first is how it may come to be. */
const changes = sql.raw(
  [
    "(null, 'pending')",
    "(null, 'scheduled')",
    "('pending', 'scheduled')",
    "('pending', 'running')",
    "('pending', 'cancelled')",
    // Its end has come.
    "('pending', 'failed')",
    "('scheduled', 'scheduled')",
    "('scheduled', 'running')",
    "('scheduled', 'failed')",
    "('scheduled', 'cancelled')",
    "('running', 'paused')",
    "('running', 'completed')",
    "('running', 'failed')",
    "('running', 'cancelled')",
    "('paused', 'running')",
    "('paused', 'completed')",
    "('paused', 'failed')",
    "('paused', 'cancelled')",
    // A late report of a completed call.
    "('failed', 'completed')",
  ].join(", "),
);

/** How many attempts of a job, or of an organization, were open after each of them began or ended. */
const openAtOnce = (by: "job_id" | "organization_id") => sql`
  select j.${sql.ref(by)} as id, e.at, e.kind,
    sum(case e.kind when 'opened' then 1 else -1 end) over (partition by j.${sql.ref(by)} order by e.id) as open
  from history.events e
  join (select id as job_id, organization_id from batch_jobs) j on j.job_id = e.job_id
  where e.kind in ('opened', 'ended', 'released')`;

/** The most of them. */
const mostAtOnce = (by: "job_id" | "organization_id") => sql`
  select id, max(open) as open from (${openAtOnce(by)}) as running group by 1`;

/** Leases of a job, or of an organization, in a time that are more than its pace allows with what it makes up for. */
const mostIn = (seconds: number, by: "job_id" | "organization_id") => sql`
  select id, leases, calls_per_second from (
    select a.${sql.ref(by)} as id, p.calls_per_second, count(*) over (
      partition by a.${sql.ref(by)} order by a.leased_at
      range between ${sql.lit(`${seconds} seconds`)}::interval preceding and current row
    ) as leases
    from all_attempts a
    join ${sql.table(by === "job_id" ? "batch_jobs" : "organizations")} as p on p.id = a.${sql.ref(by)}
    where p.calls_per_second is not null and a.outcome is distinct from 'suppressed'
  ) as leased where leases > ceil(1 + (${sql.lit(seconds)} + 0.152) * calls_per_second)`;

/**
 * Each selects what breaks it. The first are about rows, the others about what has happened, not about counters, unless
 * they say so.
 */
const rules: Record<string, RawBuilder<unknown>> = {
  ...invariants(sql<boolean>`true`),
  "a job starts once": sql`
    select job_id, count(*) from history.events
    where kind = 'job' and was in ('pending', 'scheduled') and is_now = 'running' group by 1 having count(*) > 1`,
  "a job's status changes only as the table of states says": sql`
    select job_id, was, is_now from history.events e
    where kind = 'job' and is_now is not null and not exists (
      select from (values ${changes}) as c (was, is_now) where c.was is not distinct from e.was and c.is_now = e.is_now)`,
  "no job starts before its time": sql`
    select job_id, at, due_at from history.events
    where kind = 'job' and was = 'scheduled' and is_now in ('running', 'failed') and start_lag_ms is not null and at < due_at`,
  "the lag of a start is what it was": sql`
    select e.job_id, e.start_lag_ms from history.events e
    where e.kind = 'job' and e.was = 'scheduled' and e.start_lag_ms is not null
      and e.start_lag_ms not between extract(epoch from e.asked_at - e.due_at) * 1000 - 1
        and extract(epoch from e.at - e.due_at) * 1000 + 1`,
  "attempts of one contact never overlap": sql`
    select job_id, number, attempt from (
      select *, sum(case kind when 'opened' then 1 else -1 end) over (partition by job_id, number order by id) as open
      from history.events where kind in ('opened', 'ended', 'released')
    ) as e where open not in (0, 1)`,
  "no contact is leased while its job does not run": sql`
    select e.job_id, e.number, s.is_now from history.events e
    cross join lateral (
      select is_now from history.events j where j.kind = 'job' and j.job_id = e.job_id and j.id < e.id order by j.id desc limit 1
    ) as s where e.kind = 'opened' and s.is_now <> 'running'`,
  "no retry comes before its time": sql`
    select e.job_id, e.number, e.at, w.due_at from history.events e
    cross join lateral (
      select due_at, is_now from history.events c
      where c.kind = 'contact' and c.job_id = e.job_id and c.number = e.number and c.id < e.id
      order by c.id desc limit 1
    ) as w where e.kind = 'opened' and w.is_now = 'waiting_retry' and e.at < w.due_at`,
  "no more contacts of a job are leased at once than its limit": sql`
    select m.id, m.open, b.concurrent_call_limit from (${mostAtOnce("job_id")}) as m
    join batch_jobs b on b.id = m.id where m.open > b.concurrent_call_limit`,
  "no more contacts of an organization are leased at once than its limit": sql`
    select m.id, m.open, o.lease_limit from (${mostAtOnce("organization_id")}) as m
    join organizations o on o.id = m.id where m.open > o.lease_limit`,
  "no more contacts of a job are leased at once than its growing limit allows then": sql`
    select o.id, o.open, o.at from (${openAtOnce("job_id")}) as o join batch_jobs b on b.id = o.id
    where o.kind = 'opened' and b.ramp_up_ms > 0
      and o.open > 1 + floor((b.concurrent_call_limit - 1) * extract(epoch from o.at - b.started_at) * 1000 / b.ramp_up_ms)`,
  "no job begins more calls in a second than its pace allows": mostIn(1, "job_id"),
  "no job begins more calls in ten seconds than its pace allows": mostIn(10, "job_id"),
  "no organization begins more calls in a second than its pace allows": mostIn(1, "organization_id"),
  "no organization begins more calls in ten seconds than its pace allows": mostIn(10, "organization_id"),
  "no contact is leased once the end of its job has come": sql`
    select a.job_id, a.number, a.leased_at, b.end_at from all_attempts a join batch_jobs b on b.id = a.job_id
    where a.leased_at >= b.end_at`,
  "every job whose end is past has ended": sql`
    select id, status, end_at from batch_jobs
    where finished_at is null and end_at < clock_timestamp() - interval '12 seconds'`,
  "only a paused job says why it has paused itself": sql`
    select id, status, pause_reason from batch_jobs where pause_reason is not null and status <> 'paused'`,
  "a contact becomes final once, unless a late report corrects an unknown": sql`
    select job_id, number, was, is_now from history.events
    where kind = 'contact' and (was not in ('pending', 'waiting_retry', 'unknown') or is_now = 'pending')`,
  "an outcome stays, unless a late report corrects an unknown": sql`
    select job_id, number, was, is_now from history.events where kind = 'corrected' and was <> 'unknown'`,
  "every scheduled job whose time is past has started": sql`
    select id, scheduled_at from batch_jobs
    where status = 'scheduled' and scheduled_at < clock_timestamp() - interval '12 seconds'`,
};

type Row = Record<string, unknown>;
const shown = (row: Row): string =>
  Object.values(row)
    .map((value) => (value instanceof Date ? value.toISOString() : String(value)))
    .join(" ");

/** What the database's history and rows break. */
async function judgeDatabase(db: Database): Promise<Violation[]> {
  const found: Violation[] = [];
  for (const [rule, query] of Object.entries(rules)) {
    const { rows } = await sql<Row>`select * from (${query}) as broken limit 5`.execute(db);
    found.push(...rows.map((row) => ({ rule, detail: shown(row) })));
  }
  return found;
}

const hoursRule = "no contact is leased outside its hours";

/** The rules about what Postgres has written down, each of which a test breaks. */
export const databaseRules: readonly string[] = [...Object.keys(rules), hoursRule];

/**
 * Who was leased outside the hours of the job or of the organization where the contact is, by the calendar: Postgres
 * judges by what was reckoned from it. Hours must not have changed meanwhile.
 */
async function judgeHours(db: Database, { moved }: History): Promise<Violation[]> {
  const { rows } = await sql<{
    jobId: string;
    numbers: number[];
    leasedMs: number[];
    timeZone: string;
    zones: string[] | null;
    own: CallingHours | null;
    floor: CallingHours | null;
  }>`
    select a.job_id as "jobId", a.numbers, a."leasedMs", b.timezone as "timeZone", b.calling_hours as own,
      o.calling_hours as floor, case when a.zone_set > 0 then z.zones end as zones
    from (
      select a.organization_id, a.job_id, c.zone_set, array_agg(a.number) as numbers,
        array_agg((extract(epoch from a.leased_at) * 1000)::float8) as "leasedMs"
      from all_attempts a
      join ${currentContacts} c
        on c.organization_id = a.organization_id and c.job_id = a.job_id and c.number = a.number
      where a.outcome is distinct from 'suppressed'
      group by 1, 2, 3
    ) as a
    join batch_jobs b on b.organization_id = a.organization_id and b.id = a.job_id
    join organizations o on o.id = a.organization_id
    left join zone_sets z
      on z.organization_id = a.organization_id and z.job_id = a.job_id and z.zone_set = a.zone_set
    where b.calling_hours is not null or o.calling_hours is not null
  `.execute(db);
  const aheadAt = (ms: number) =>
    moved.findLast(({ fromMs, untilMs }) => fromMs <= ms && ms < untilMs)?.aheadMs ?? 0;
  return rows.flatMap(({ jobId, own, floor, timeZone, zones, numbers, leasedMs }) => {
    const hours = [own, floor].flatMap((some) => some ?? []);
    return leasedMs.flatMap((ms, i) => {
      if (isOpen(hours, zones ?? [timeZone], ms + aheadAt(ms))) return [];
      return [{ rule: hoursRule, detail: `${jobId} ${numbers[i]} ${new Date(ms).toISOString()}` }];
    });
  });
}

const outcomesOf = async (db: Database, told: readonly Told[]) => {
  const keys = told.flatMap((one) => ("leaseId" in one ? [readLeaseId(one.leaseId)] : []));
  // Of whichever organization.
  const { rows } = await sql<LeaseKey & { outcome: string | null; isReported: boolean }>`
    select a.job_id as "jobId", a.number, a.attempt, a.nonce, a.outcome, a.reported_at is not null as "isReported"
    from ${asRows(0, keys)}
    join all_attempts a on a.job_id = g.job_id and a.number = g.number and a.attempt = g.attempt and a.nonce = g.nonce
  `.execute(db);
  return new Map(rows.map((row) => [writeLeaseId(row), row]));
};

/** What clients were told and is not so. */
async function judgeAnswers(db: Database, { told, wrong }: History): Promise<Violation[]> {
  const jobs = new Map(
    (
      await db
        .selectFrom("batch_jobs")
        .select(["id", "status", "started_at", "total_contacts", "concurrent_call_limit"])
        .execute()
    ).map((row) => [row.id, row]),
  );
  const attempts = await outcomesOf(db, told);
  const holds = (one: Told): boolean => {
    if (one.kind === "suppressed" || one.kind === "erased") return true;
    if ("leaseId" in one) {
      const attempt = attempts.get(one.leaseId);
      if (one.kind === "released") return attempt === undefined;
      if (one.result === "lease_expired") return attempt?.isReported !== true;
      return attempt?.isReported === true && attempt.outcome === one.outcome;
    }
    const job = jobs.get(one.jobId);
    if (one.kind === "contacts") return job?.total_contacts === one.total;
    if (one.kind === "updated") return job?.concurrent_call_limit === one.limit;
    if (one.kind === "cancelled") return job?.status === "cancelled";
    return job?.started_at instanceof Date;
  };
  return [
    ...told
      .filter((one) => !holds(one))
      .map((one) => ({ rule: "what was answered is kept", detail: JSON.stringify(one) })),
    ...wrong.map((detail) => ({ rule: "a client is never told what is not so", detail })),
  ];
}

/** The leases that were opened on phones while nobody was to call them. */
async function judgeSuppressed(db: Database, { told }: History): Promise<Violation[]> {
  const lists = told.filter((one): one is Suppressed => one.kind === "suppressed");
  const entries = lists.flatMap(({ phones, fromMs, untilMs }) =>
    phones.map((phone) => ({ phone, fromMs, untilMs })),
  );
  const { rows } = await sql<Row>`
    select e.job_id, e.number, s.phone, e.at from unnest(
      ${entries.map(({ phone }) => phone)}::text[], ${entries.map(({ fromMs }) => fromMs)}::float8[],
      ${entries.map(({ untilMs }) => untilMs)}::float8[]
    ) as s (phone, from_ms, until_ms)
    join ${currentContacts} c on c.phone = s.phone
    join history.events e on e.job_id = c.job_id and e.number = c.number
    where e.kind = 'opened' and extract(epoch from e.at) * 1000 between s.from_ms + 1 and s.until_ms - 1
    limit 5
  `.execute(db);
  return rows.map((row) => ({
    rule: "nobody is leased whose phone is suppressed, from the answer on",
    detail: shown(row),
  }));
}

/** Where anything is left of phones that were erased. */
async function judgeErased(db: Database, { told }: History): Promise<Violation[]> {
  const phones = told.flatMap((one) => (one.kind === "erased" ? [one.phone.slice(1)] : []));
  if (phones.length === 0) return [];
  const places = await placesOf(db, phones);
  return places.map((detail) => ({ rule: "nothing is left of a phone that was erased", detail }));
}

/** The contacts that were in two hands at once, by what their workers were answered. */
function judgeHands(held: readonly Held[]): Violation[] {
  const byContact = Map.groupBy(held, ({ jobId, number }) => `${jobId} ${number}`);
  return [...byContact].flatMap(([contact, hands]) => {
    const inOrder = hands.toSorted((a, b) => a.fromMs - b.fromMs);
    return inOrder.flatMap((hand, i) => {
      const other = inOrder.slice(0, i).find(({ untilMs }) => untilMs > hand.fromMs);
      if (other === undefined) return [];
      const detail = `${contact}: ${hand.worker} was given it while ${other.worker} had it for another ${other.untilMs - hand.fromMs} ms`;
      return [{ rule: "a contact is in one worker's hands at a time", detail }];
    });
  });
}

/** How often a call was `unavailable`, by what its client was told of the reason. */
export function countUnavailable({ tried }: History): Map<string, number> {
  const whys = tried
    .filter(({ end }) => end === "unavailable")
    .map(({ why = "" }) => why.replaceAll(/\d[\d.:]*/g, "…"));
  return new Map([...Map.groupBy(whys, (why) => why)].map(([why, all]) => [why, all.length]));
}

/** What is left in Redis and should not be. */
async function judgeRedis(db: Database, redis: RedisClient, prefix: string): Promise<Violation[]> {
  const jobs = await db.selectFrom("batch_jobs").select(["id", "status", "scheduled_job_id"]).execute();
  const entries = new Set(jobs.map((job) => job.scheduled_job_id));
  const running = new Set(jobs.filter(({ status }) => status === "running").map(({ id }) => id));
  const standing = await redis.zrange(`${prefix}:{schedule}:due`, "0", "-1");
  const stale = standing
    .filter((entry) => !entries.has(entry))
    .map((entry) => ({ rule: "no entry of the schedule stands for nothing", detail: entry }));
  const found: Violation[] = [];
  for (const key of await redis.keys(`${prefix}:*`)) {
    if (key.includes("{schedule}")) continue;
    const jobId = key.split(":").find((part) => isUuid(part)) ?? "";
    const expiryMs = await redis.pttl(key);
    const isOver = !running.has(jobId);
    if (isOver && !(expiryMs > 0 && expiryMs <= keysExpiryMs)) {
      found.push({
        rule: "the keys of a job that does not run go by themselves",
        detail: `${key} ${expiryMs}`,
      });
    }
  }
  return [...stale, ...found];
}

/** Everything that has been broken so far. An organization's work should be at rest: no call is in hand. */
export async function judge(place: {
  db: Database;
  redis: RedisClient;
  prefix: string;
  history: History;
}): Promise<Violation[]> {
  return [
    ...(await judgeDatabase(place.db)),
    ...(await judgeHours(place.db, place.history)),
    ...(await judgeAnswers(place.db, place.history)),
    ...(await judgeSuppressed(place.db, place.history)),
    ...(await judgeErased(place.db, place.history)),
    ...judgeHands(place.history.held),
    ...(await judgeWebhooks(place.db, place.history.endpoints)),
    ...(await judgeRedis(place.db, place.redis, place.prefix)),
  ];
}
