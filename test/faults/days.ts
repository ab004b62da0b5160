import { randomUUID } from "node:crypto";
import { sql } from "kysely";
import { type CallingHours, findOpening, isOpen } from "../../src/domain/time/hours.ts";
import { runExpiryPass } from "../../src/leasing/expiry.ts";
import { writeOpenings } from "../../src/postgres/contacts/zone-sets.ts";
import { eventually } from "../support/eventually.ts";
import { aNewJob, onJob } from "../support/make.ts";
import { startParts } from "../support/parts.ts";
import { removeKeysUnder } from "../support/redis-keys.ts";
import { beyondRamp, mostAtOnce, mostIn, tooFast } from "./how-fast.ts";
import { lease, letRunOut, limitOrganization, report } from "./leases.ts";

/*
 * A job whose contacts are in many time zones is driven through days, with time moved and not waited for: what Postgres
 * judges by is put where it would be shortly before hours begin or end somewhere, and then the clock runs through that.
 * Meanwhile replicas go, workers die and Redis loses everything. Whoever was called is looked up in the calendar then.
 */

export type Campaign = {
  readonly contacts: number;
  /** Of the contacts in turn; the last of them is the job's own, which its contacts do not say. */
  readonly zones: readonly string[];
  readonly days: number;
  /** Of its job, in calls a second, while no hours begin; when they do there is none that a set might wait for. */
  readonly pace: number;
  /** Over so long from its start the limit of its job grows. */
  readonly rampUpMs: number;
  readonly print?: (line: string) => void;
};

const hours: CallingHours = {
  windows: [
    { days: [1, 2, 3, 4, 5], startMinute: 9 * 60, endMinute: 17 * 60 },
    { days: [6, 7], startMinute: 10 * 60, endMinute: 14 * 60 },
  ],
  exceptions: [],
  closeEarlyMs: 120_000,
};

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
/** Of the job, and of its organization. */
const limit = 500;
const limitOfAll = 450;
const suppressedEach = 100;
/** The clock runs for so long before hours begin or end, and at least so long in all. */
const beforeMs = 250;
const leastMs = 900;

/** A stretch of time in which the clock ran, so far ahead of the real one, and the pace in it. */
type Stretch = {
  readonly fromMs: number;
  untilMs: number;
  readonly aheadMs: number;
  readonly pace: number | null;
};

export type Outcome = {
  readonly calls: number;
  readonly outside: number;
  readonly mostAtOnce: number;
  readonly beyondRamp: number;
  /** What broke the pace in a stretch that had one, or in any ten seconds of it. */
  readonly tooFast: readonly string[];
  readonly twiceAtOnce: number;
  readonly suppressedLate: number;
  readonly counts: Readonly<Record<string, number>>;
  /** From the opening of a set to the first of its leases, in order. */
  readonly latenessMs: readonly number[];
};

async function* csvOf({ contacts, zones }: Campaign): AsyncGenerator<Buffer> {
  let text = "phone,timezone\n";
  for (let i = 0; i < contacts; i += 1) {
    const place = i % zones.length;
    text += `+1${4_150_000_000 + i},${place === zones.length - 1 ? "" : zones[place]}\n`;
    if (text.length < 60_000) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text);
}

/** An instant at which hours begin somewhere, or end. */
type TurningPoint = { readonly atMs: number; readonly opens: boolean };

/** All of them, in order. */
function turningPoints({ zones, days }: Campaign, startMs: number): TurningPoint[] {
  const opens = new Map<number, boolean>();
  for (const zone of zones) {
    for (let atMs = startMs; ;) {
      const opening = findOpening([hours], [zone], atMs);
      if (opening === undefined || opening.fromMs > startMs + days * dayMs) break;
      if (opening.fromMs > startMs) opens.set(opening.fromMs, true);
      if (!opens.has(opening.untilMs)) opens.set(opening.untilMs, false);
      atMs = opening.untilMs;
    }
  }
  return [...opens]
    .map(([atMs, isOpening]) => ({ atMs, opens: isOpening }))
    .toSorted((a, b) => a.atMs - b.atMs);
}

/** Runs the campaign, and tells what has come of it. */
export async function runDays(campaign: Campaign): Promise<Outcome> {
  const { contacts, zones, pace, rampUpMs, print = () => {} } = campaign;
  await using first = await startParts();
  await using stack = new AsyncDisposableStack();
  const replicas = [first];
  for (let i = 0; i < 2; i += 1) replicas.push(stack.use(await startParts({ beside: first })));
  const { db, caller, redis, prefix } = first;
  await limitOrganization(first, limitOfAll);
  const { batchJobId: id } = await first.jobs.create(
    onJob(first, ""),
    aNewJob({
      contacts: [],
      timeZone: zones.at(-1) ?? "",
      callingHours: hours,
      concurrentCallLimit: limit,
      rampUpMs,
      maxAttempts: 3,
      retryOn: ["busy", "unknown"],
      retryDelaysMs: [0],
    }),
  );
  const { requestId, expectedRevision } = onJob(first, id);
  await first.contactImport.run({ caller, requestId, expectedRevision, batchJobId: id }, csvOf(campaign));
  await first.jobs.start(onJob(first, id));
  await first.fanOut.run({ id, organizationId: caller.organizationId });
  const sets = await db
    .selectFrom("zone_sets")
    .select(["zone_set", "zones"])
    .where("job_id", "=", id)
    .execute();
  await eventually(async () => {
    const asleep = await db
      .selectFrom("zone_sets")
      .select("zone_set")
      .where("job_id", "=", id)
      .where("next_look_at", "is", null)
      .execute();
    if (asleep.length > 0) throw new Error("the openings are not reckoned yet");
  });

  /** Puts the time in which each set is open where it is by a clock that is ahead. */
  async function moveClock(aheadMs: number): Promise<Map<number, number>> {
    const nowMs = Date.now() + aheadMs;
    const openings = sets.map(({ zone_set: zoneSet, zones: own }) => {
      const opening = findOpening([hours], zoneSet === 0 ? zones.slice(-1) : own, nowMs);
      if (opening === undefined) throw new Error("a set is never open");
      return {
        jobId: id,
        zoneSet,
        opening: {
          fromMs: opening.fromMs - aheadMs,
          untilMs: opening.untilMs - aheadMs,
          callBeforeMs: opening.callBeforeMs - aheadMs,
        },
        nextLookAtMs: Date.now() + 365 * dayMs,
      };
    });
    await db.transaction().execute((trx) => writeOpenings(trx, caller.organizationId, openings));
    return new Map(openings.map(({ zoneSet, opening }) => [zoneSet, opening.fromMs]));
  }

  const stretches: Stretch[] = [];
  const latenessMs: number[] = [];
  const abandoned: string[] = [];
  const suppressed: { phone: string; atMs: number }[] = [];
  let begun = 0;

  /** Workers on all replicas lease and report until so many calls were begun, and the time is over. */
  async function callFor(leastUntilMs: number, most: number): Promise<void> {
    const end = begun + most;
    await Promise.all(
      replicas.flatMap((parts, i) =>
        Array.from({ length: 2 }, async (_, worker) => {
          while (Date.now() < leastUntilMs || begun < end) {
            const isOver = begun >= end && Date.now() > leastUntilMs - leastMs / 3;
            if (isOver) return;
            const leases = await lease(parts, { maxContacts: 50, waitMs: 100, workerId: `w-${i}-${worker}` });
            begun += leases.length;
            if (leases.length === 0 && Date.now() > leastUntilMs + 2_000) return;
            // A worker dies with what it has.
            const dies = Math.random() < 0.01;
            if (dies) abandoned.push(...leases.map(({ leaseId }) => leaseId));
            else
              await report(
                parts,
                leases.map(({ leaseId }) => ({
                  leaseId,
                  outcome: Math.random() < 0.2 ? "busy" : "completed",
                })),
              );
          }
        }),
      ),
    );
  }

  async function endAbandoned(): Promise<void> {
    await letRunOut(first, abandoned.splice(0));
    for (const { db: own, recorder } of replicas) await runExpiryPass(own, recorder);
  }

  async function loseRedis(): Promise<void> {
    await removeKeysUnder(redis, prefix);
    await sql`update batch_jobs set updated_at = clock_timestamp() - interval '1 minute' where id = ${id}`.execute(
      db,
    );
    await Promise.all(replicas.map(({ sweep }) => sweep.pass()));
  }

  async function replaceReplica(): Promise<void> {
    const [gone] = replicas.splice(1, 1);
    await gone?.[Symbol.asyncDispose]();
    replicas.push(stack.use(await startParts({ beside: first })));
  }

  async function suppressSome(fromNumber: number): Promise<void> {
    const phones = Array.from({ length: suppressedEach }, (_, i) => `+1${4_150_000_000 + fromNumber + i}`);
    await first.suppression.add(
      { caller, requestId: randomUUID(), fingerprint: () => Buffer.alloc(32) },
      phones.map((phone) => ({ phone, reason: "asked not to be called", expiresMs: undefined })),
    );
    suppressed.push(...phones.map((phone) => ({ phone, atMs: first.clock.now() })));
  }

  const isEnded = async () => (await first.jobs.get(caller, id)).finishedAt !== null;

  // Its limit has grown while everything was made ready.
  const { started_at: startedAt } = await db
    .updateTable("batch_jobs")
    .set({ started_at: sql<Date>`clock_timestamp()` })
    .where("id", "=", id)
    .returning("started_at")
    .executeTakeFirstOrThrow();
  const startMs = Date.now();
  const points = turningPoints(campaign, startMs);
  const each = Math.ceil((contacts * 1.25) / points.length);
  for (let turn = 0; !(await isEnded()); turn += 1) {
    const { atMs: pointMs, opens } = points[turn % points.length] ?? { atMs: startMs, opens: false };
    // What is left after the last day is called in days that are the same again, a week later.
    const aheadMs = pointMs + 7 * dayMs * Math.floor(turn / points.length) - beforeMs - Date.now();
    if (turn > 40 * points.length) throw new Error("the job does not end");
    const callsPerSecond = opens ? null : pace;
    await first.jobs.update(onJob(first, id), { callsPerSecond });
    const stretch: Stretch = { fromMs: first.clock.now(), untilMs: 0, aheadMs, pace: callsPerSecond };
    const opensMs = await moveClock(aheadMs);
    await callFor(Date.now() + leastMs, each);
    stretch.untilMs = first.clock.now();
    stretches.push(stretch);
    await noteLateness(stretch, opensMs);
    await endAbandoned();
    if (turn % 10 === 3) await loseRedis();
    if (turn % 10 === 6) await replaceReplica();
    if (turn % 10 === 9) await suppressSome(Math.floor(contacts * Math.random()));
    print(`${new Date(pointMs).toISOString()}: ${begun} calls`);
  }

  /** How late the first lease was of each set that opened in the stretch. */
  async function noteLateness(
    { fromMs, untilMs }: Stretch,
    opensMs: ReadonlyMap<number, number>,
  ): Promise<void> {
    for (const [zoneSet, openMs] of opensMs) {
      if (openMs < fromMs || openMs > untilMs) continue;
      const place = zoneSet === 0 ? zones.length - 1 : zoneSet - 1;
      const { rows } = await sql<{ leasedAt: Date | null }>`
        select min(leased_at) as "leasedAt" from all_attempts
        where organization_id = ${caller.organizationId} and job_id = ${id} and leased_at >= ${new Date(fromMs)}
          and (number - 1) % ${zones.length}::int = ${place}::int`.execute(db);
      const leasedMs = rows[0]?.leasedAt?.getTime();
      if (leasedMs !== undefined) latenessMs.push(leasedMs - openMs);
    }
  }

  const { counts } = await first.jobs.get(caller, id);
  const { rows } = await sql<{ number: number; leasedMs: number; endedMs: number | null }>`
    select number, (extract(epoch from leased_at) * 1000)::bigint as "leasedMs",
      (extract(epoch from ended_at) * 1000)::bigint as "endedMs"
    from all_attempts
    where job_id = ${id} and outcome is distinct from 'suppressed' order by leased_at`.execute(db);
  const calls = rows.map(({ leasedMs, endedMs }) => ({ fromMs: leasedMs, untilMs: endedMs ?? Infinity }));
  const outside = rows.filter(({ number, leasedMs }) => {
    const stretch = stretches.find(
      ({ fromMs, untilMs }) => fromMs - 5 <= leasedMs && leasedMs <= untilMs + 5,
    );
    const zone = zones[(number - 1) % zones.length] ?? "";
    return stretch === undefined || !isOpen([hours], [zone], leasedMs + stretch.aheadMs);
  }).length;
  const broken = stretches.flatMap(({ fromMs, untilMs, pace: perSecond }) => {
    if (perSecond === null) return [];
    const times = calls.flatMap((call) =>
      call.fromMs >= fromMs && call.fromMs <= untilMs ? call.fromMs : [],
    );
    const most = mostIn(10_000, times);
    return [...tooFast(times, perSecond), ...(most > 10.2 * perSecond ? [`${most} in ten seconds`] : [])];
  });
  const [twice] = (
    await sql<{ count: number }>`
      select count(*)::int as count from all_attempts a
      join all_attempts b on b.organization_id = a.organization_id and b.job_id = a.job_id and b.number = a.number
        and b.attempt = a.attempt + 1
      where a.job_id = ${id} and b.leased_at < a.ended_at`.execute(db)
  ).rows;
  const [late] = (
    await sql<{ count: number }>`
      select count(*)::int as count from all_attempts a
      join unnest(${suppressed.map(({ phone }) => Number(phone.slice(2)) - 4_150_000_000 + 1)}::int[],
        ${suppressed.map(({ atMs }) => atMs)}::float8[]) as s (number, at_ms) on s.number = a.number
      where a.job_id = ${id} and a.outcome is distinct from 'suppressed'
        and extract(epoch from a.leased_at) * 1000 > s.at_ms + 5`.execute(db)
  ).rows;
  return {
    calls: calls.length,
    outside,
    mostAtOnce: mostAtOnce(calls),
    beyondRamp: beyondRamp(calls, { startMs: startedAt?.getTime() ?? NaN, limit, rampUpMs }),
    tooFast: broken,
    twiceAtOnce: twice?.count ?? 0,
    suppressedLate: late?.count ?? 0,
    counts,
    latenessMs: latenessMs.toSorted((a, b) => a - b),
  };
}
