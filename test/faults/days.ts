import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { sql } from "kysely";
import { type CallingHours, findOpening, isOpen } from "../../src/domain/time/hours.ts";
import { writeTimeOfDay } from "../../src/domain/time/hours-input.ts";
import { BatchJobStatus, Outcome } from "../../src/gen/callsheet/v1/batch_job_pb.ts";
import type { ImportContactsRequestSchema } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
import { writeOpenings } from "../../src/postgres/contacts/openings.ts";
import { beyondRamp, mostAtOnce, mostIn, tooFast } from "../leasing/how-fast.ts";
import { eventually } from "../support/eventually.ts";
import { suppressAll } from "./campaign.ts";
import type { Moved } from "./history.ts";
import { createInsist } from "./insist.ts";
import { lastOf } from "./jobs.ts";
import type { Violation } from "./oracle.ts";
import { type System, settled } from "./system.ts";

/*
 * A job whose contacts are in many time zones is driven through days, with time moved and not waited for: what Postgres
 * judges by is put where it would be shortly before hours begin or end somewhere, and then the clock runs through that.
 * Meanwhile replicas are killed, workers die, Redis loses everything, and people ask not to be called. Whoever was
 * called is looked up in the calendar then.
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
  /** Of the job, and of its organization: at one opening this, at the next one that. */
  readonly limit: number;
  readonly limitsOfAll: readonly [number, number];
  /** After so many times that a replica is killed Redis loses everything too. */
  readonly killsToLoss: number;
  readonly print?: (line: string) => void;
};

/**
 * On workdays it is open somewhere most of the time, so that calls go on while something is killed. At the weekend
 * zones open one by one, so that the first call in one waits for nothing but its hours: of several that are open the
 * first to close comes first.
 */
const hours: CallingHours = {
  windows: [
    { days: [1, 2, 3, 4, 5], startMinute: 540, endMinute: 1_020 },
    { days: [6, 7], startMinute: 600, endMinute: 640 },
    { days: [6, 7], startMinute: 920, endMinute: 960 },
  ],
  exceptions: [],
  closeEarlyMs: 120_000,
};

const dayMs = 24 * 3_600_000;
/** A Friday; in the night to the Sunday after it the clocks of the United States are put forward. */
const startMs = Date.parse("2027-03-12T00:00Z");
const suppressedEach = 100;
/** Together they could have more contacts than any limit allows. */
const workers = 12;
const mostEach = 100;
/** So long workers wait for contacts when no harm is done, and one of their calls. */
const patienceMs = 1_000;
const waitMs = 500;
/** The clock runs for so long before hours begin or end, and at least so long in all. */
const beforeMs = 250;
const leastMs = 900;

/** A stretch of time in which the clock ran, with the pace and the limit of calls at once in it. */
type Stretch = Moved & { readonly pace: number | null; readonly most: number };

export type Days = {
  readonly violations: readonly Violation[];
  /** What broke the pace of a stretch that had one, or in any ten seconds of it. */
  readonly tooFast: readonly string[];
  readonly beyondLimit: readonly string[];
  readonly beyondRamp: number;
  /** The limits that calls at once have come up to. */
  readonly reached: readonly number[];
  readonly calls: number;
  readonly kills: number;
  readonly losses: number;
  readonly suppressed: number;
  readonly counts: Readonly<Record<string, number>>;
  /** From the opening of a set to the first of its leases, where no other was open, in order. */
  readonly latenessMs: readonly number[];
};

const phoneOf = (i: number): string => `+1${4_150_000_000 + i}`;

function* csvOf({ contacts, zones }: Campaign): Generator<Buffer> {
  let text = "phone,timezone\n";
  for (let i = 0; i < contacts; i += 1) {
    const place = i % zones.length;
    text += `${phoneOf(i)},${place === zones.length - 1 ? "" : zones[place]}\n`;
    if (text.length < 60_000) continue;
    yield Buffer.from(text);
    text = "";
  }
  yield Buffer.from(text);
}

/** The file as an import of it. */
async function* partsOf(
  campaign: Campaign,
  batchJobId: string,
): AsyncGenerator<MessageInitShape<typeof ImportContactsRequestSchema>> {
  yield { part: { case: "header", value: { requestId: "the file", batchJobId } } };
  let totalBytes = 0n;
  for (const csv of csvOf(campaign)) {
    totalBytes += BigInt(csv.length);
    yield { part: { case: "csv", value: csv } };
  }
  yield { part: { case: "end", value: { totalBytes } } };
}

/** An instant at which hours begin somewhere, or end. */
type TurningPoint = { readonly atMs: number; readonly opens: boolean };

/** All of them, in order. */
function turningPoints({ zones, days }: Campaign): TurningPoint[] {
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

/** Runs the campaign on three replicas, and tells what has come of it. */
export const runDays = (system: System, campaign: Campaign): Promise<Days> =>
  system.withDatabase((db) => run(system, db, campaign));

async function run(system: System, db: Database, campaign: Campaign): Promise<Days> {
  const { contacts, zones, pace, rampUpMs, limit, limitsOfAll, killsToLoss, print = () => {} } = campaign;
  const { history, replicas, servers } = system;
  const random = system.randomOf("days");
  const insist = createInsist(system);
  const organizationId = await ensureOrganization(db, "default");
  const { batchJobId: id } = await insist("CreateBatchJob", ({ jobs }, o) =>
    jobs.createBatchJob(
      {
        requestId: randomUUID(),
        name: "Days",
        fromPhoneNumberId: "pn_1",
        timezone: zones.at(-1) ?? "",
        callingHours: {
          windows: hours.windows.map(({ days, startMinute, endMinute }) => ({
            days: [...days],
            start: writeTimeOfDay(startMinute),
            end: writeTimeOfDay(endMinute),
          })),
          closeEarly: durationFromMs(hours.closeEarlyMs),
        },
        concurrentCallLimit: limit,
        rampUp: durationFromMs(rampUpMs),
        maxAttempts: 3,
        retryOn: [Outcome.BUSY, Outcome.UNKNOWN],
        retryDelays: [durationFromMs(0)],
      },
      o,
    ),
  );
  await insist("ImportContacts", ({ jobs }, o) => jobs.importContacts(partsOf(campaign, id), o), {
    timeoutMs: 120_000,
  });
  history.told.push({ kind: "contacts", jobId: id, total: contacts });
  await insist("StartBatchJob", ({ jobs }, o) =>
    jobs.startBatchJob({ requestId: "start", batchJobId: id }, o),
  );
  const sets = await eventually(async () => {
    const rows = await db
      .selectFrom("zone_sets")
      .select(["zone_set", "zones", "next_look_at"])
      .where("job_id", "=", id)
      .execute();
    if (rows.some((row) => row.next_look_at === null)) throw new Error("the openings are not reckoned yet");
    return rows;
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
    await db.transaction().execute((trx) => writeOpenings(trx, organizationId, openings));
    return new Map(openings.map(({ zoneSet, opening }) => [zoneSet, opening.fromMs]));
  }

  let [begun, kills, losses, suppressed] = [0, 0, 0, 0];
  const latenessMs: number[] = [];
  const stretches: Stretch[] = [];

  /** Whoever is given to a worker, reported but for those with which it dies. */
  async function callSome(workerId: string): Promise<number> {
    const asking = {
      requestId: randomUUID(),
      workerId,
      maxContacts: mostEach,
      wait: durationFromMs(waitMs),
      leaseDuration: durationFromMs(600_000),
    };
    const { contacts: leases } = await insist("LeaseContacts", ({ worker }, o) =>
      worker.leaseContacts(asking, o),
    );
    begun += leases.length;
    if (leases.length === 0 || random.chance(0.01)) return leases.length;
    const outcomes = leases.map(({ leaseId }) => ({
      leaseId,
      outcome: random.chance(0.2) ? Outcome.BUSY : Outcome.COMPLETED,
    }));
    await insist("ReportOutcomes", ({ worker }, o) => worker.reportOutcomes({ outcomes }, o));
    return leases.length;
  }

  /** Workers call until so many calls were begun and the time is over, or nobody is given to them any more. */
  async function callFor(most: number, harming: Promise<void>): Promise<void> {
    const leastUntilMs = Date.now() + leastMs;
    const end = begun + most;
    let [givenMs, isHarming] = [leastUntilMs, true];
    await Promise.all([
      harming.finally(() => {
        givenMs = Math.max(givenMs, Date.now());
        isHarming = false;
      }),
      ...Array.from({ length: workers }, async (_, i) => {
        while (begun < end || Date.now() < leastUntilMs - leastMs / 3) {
          if ((await callSome(`worker ${i}`)) > 0) givenMs = Math.max(givenMs, Date.now());
          else if (!isHarming && Date.now() > givenMs + patienceMs) return;
        }
      }),
    ]);
  }

  /** The leases with which workers have died, or of which none was told before its replica was killed. */
  async function endAbandoned(): Promise<void> {
    const live = () => db.selectFrom("leases").select("number").where("job_id", "=", id);
    await sql`update leases set expires_at = clock_timestamp() - interval '1 second' where job_id = ${id}`.execute(
      db,
    );
    await eventually(async () => {
      if ((await live().limit(1).execute()).length > 0) throw new Error("leases are live still");
    }, 30_000);
  }

  /** Until everybody's number is on a list of Redis again, or was, or the job has ended. */
  const untilWhole = () =>
    system.withRedis((redis) =>
      eventually(async () => {
        const position = await redis.get(system.keys.position({ id, organizationId }));
        if (lastOf(position) >= contacts || (await isEnded())) return;
        throw new Error(`the fan-out stands at ${position}`);
      }, 60_000),
    );

  /**
   * Kills a replica, perhaps Redis too, with all that it knows, and has some people called no more. Ends when all that
   * was killed is back.
   */
  async function harm(losesRedis: boolean): Promise<void> {
    await delay(beforeMs + random.between(0, 200));
    const victim = random.pick(replicas);
    await victim.kill();
    kills += 1;
    if (losesRedis) {
      await servers.redis.kill();
      await servers.redis.replaceData("nothing");
      await servers.redis.start();
      losses += 1;
    }
    const first = random.between(0, contacts - suppressedEach);
    const phones = Array.from({ length: suppressedEach }, (_, i) => phoneOf(first + i));
    const list = await suppressAll(insist, phones);
    if (list !== undefined) history.told.push(list);
    suppressed += phones.length;
    await victim.start();
    await untilWhole();
  }

  /** How late the first lease was of each set that opened in the stretch. */
  async function noteLateness(fromMs: number, opensMs: ReadonlyMap<number, number>): Promise<void> {
    const before = latenessMs.length;
    for (const [zoneSet, openMs] of opensMs) {
      if (openMs < fromMs || openMs > Date.now()) continue;
      const place = zoneSet === 0 ? zones.length - 1 : zoneSet - 1;
      const { rows } = await sql<{ leasedAt: Date | null }>`
        select min(leased_at) as "leasedAt" from all_attempts
        where organization_id = ${organizationId} and job_id = ${id} and leased_at >= ${new Date(fromMs)}
          and (number - 1) % ${zones.length}::int = ${place}::int`.execute(db);
      const leasedMs = rows[0]?.leasedAt?.getTime();
      if (leasedMs !== undefined) latenessMs.push(leasedMs - openMs);
    }
    for (const ms of latenessMs.slice(before)) print(`a first lease ${ms} ms after an opening`);
  }

  const look = async () =>
    (await insist("GetBatchJob", ({ jobs }, o) => jobs.getBatchJob({ batchJobId: id }, o))).batchJob;
  const isEnded = async () => (await look())?.status === BatchJobStatus.COMPLETED;

  // Its limit has grown while everything was made ready.
  const { started_at: startedAt } = await db
    .updateTable("batch_jobs")
    .set({ started_at: sql<Date>`clock_timestamp()` })
    .where("id", "=", id)
    .returning("started_at")
    .executeTakeFirstOrThrow();
  const points = turningPoints(campaign);
  const each = Math.ceil((contacts * 1.25) / points.length);
  let openings = 0;
  for (let turn = 0; !(await isEnded()); turn += 1) {
    if (turn > 40 * points.length) throw new Error("the job does not end");
    const { atMs, opens } = points[turn % points.length] ?? { atMs: startMs, opens: false };
    // What is left after the last day is called in days that are the same again, a week later.
    const pointMs = atMs + 7 * dayMs * Math.floor(turn / points.length);
    if (opens) openings += 1;
    const limitOfAll = limitsOfAll[openings % 2] ?? limit;
    await db
      .updateTable("organizations")
      .set({ lease_limit: limitOfAll })
      .where("id", "=", organizationId)
      .execute();
    const change = {
      requestId: randomUUID(),
      batchJobId: id,
      updateMask: { paths: ["calls_per_second"] },
      ...(opens ? {} : { callsPerSecond: pace }),
    };
    await insist("UpdateBatchJob", ({ jobs }, o) => jobs.updateBatchJob(change, o));
    const fromMs = Date.now();
    const stretch: Stretch = {
      fromMs,
      untilMs: Infinity,
      aheadMs: pointMs - beforeMs - fromMs,
      pace: opens ? null : pace,
      most: Math.min(limit, limitOfAll),
    };
    for (const before of stretches.slice(-1)) before.untilMs = fromMs;
    stretches.push(stretch);
    history.moved.push(stretch);
    const opensMs = await moveClock(stretch.aheadMs);
    // Where hours end somewhere, and go on elsewhere.
    const open = zones.filter((zone) => isOpen([hours], [zone], pointMs));
    const isHarmed = !opens && open.length > 0;
    const losesRedis = isHarmed && kills % killsToLoss === 0;
    await callFor(each, isHarmed ? harm(losesRedis) : Promise.resolve());
    if (opens && open.length === 1) await noteLateness(fromMs, opensMs);
    await endAbandoned();
    print(`${new Date(pointMs).toISOString()}: ${begun} calls, ${Date.now() - fromMs} ms`);
  }

  // The oracle judges all that was by the last settings.
  await db.updateTable("batch_jobs").set({ calls_per_second: null }).where("id", "=", id).execute();
  await db
    .updateTable("organizations")
    .set({ lease_limit: Math.max(...limitsOfAll) })
    .where("id", "=", organizationId)
    .execute();
  const violations = await settled(system);
  const { rows } = await sql<{ leasedMs: number; endedMs: number }>`
    select (extract(epoch from leased_at) * 1000)::float8 as "leasedMs",
      (extract(epoch from ended_at) * 1000)::float8 as "endedMs"
    from attempts
    where organization_id = ${organizationId} and job_id = ${id} and outcome <> 'suppressed'
    order by leased_at`.execute(db);
  const calls = rows.map(({ leasedMs, endedMs }) => ({ fromMs: leasedMs, untilMs: endedMs }));
  const inStretches = stretches.map((stretch) => {
    const own = calls.filter(({ fromMs }) => fromMs >= stretch.fromMs && fromMs < stretch.untilMs);
    return { ...stretch, times: own.map(({ fromMs }) => fromMs), atOnce: mostAtOnce(own) };
  });
  return {
    violations,
    tooFast: inStretches.flatMap(({ times, pace: perSecond }) => {
      if (perSecond === null) return [];
      const most = mostIn(10_000, times);
      return [...tooFast(times, perSecond), ...(most > 10.2 * perSecond ? [`${most} in ten seconds`] : [])];
    }),
    beyondLimit: inStretches.flatMap(({ most, atOnce }) => (atOnce > most ? [`${atOnce} of ${most}`] : [])),
    beyondRamp: beyondRamp(calls, { startMs: startedAt?.getTime() ?? NaN, limit, rampUpMs }),
    reached: [
      ...new Set(inStretches.flatMap(({ most, atOnce }) => (atOnce === most ? [most] : []))),
    ].toSorted((a, b) => a - b),
    calls: calls.length,
    kills,
    losses,
    suppressed,
    counts: countsOf((await look())?.counts),
    latenessMs: latenessMs.toSorted((a, b) => a - b),
  };
}

/** Those of a message, without what else it has. */
const countsOf = (counts: object | undefined): Record<string, number> =>
  Object.fromEntries(
    Object.entries(counts ?? {}).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );
