import { randomBytes } from "node:crypto";
import { pino } from "pino";
import { inject } from "vitest";
import { createBatchJobs } from "../../src/jobs/batch-jobs.ts";
import { startClock } from "../../src/vitals/clock.ts";
import type { Caller } from "../../src/domain/caller.ts";
import { createDueStarts } from "../../src/starting/due-starts.ts";
import { createFanOut } from "../../src/starting/fan-out.ts";
import { createOpenings } from "../../src/starting/openings.ts";
import {
  type ExportLimits,
  createContactExport,
  defaultExportLimits,
  exportsAtOnce,
} from "../../src/jobs/export/contact-export.ts";
import { createRejectedRowsExport } from "../../src/jobs/export/rejected-rows.ts";
import { createHolds } from "../../src/jobs/holds.ts";
import { createContactImport, filesAtOnce } from "../../src/jobs/import/contact-import.ts";
import { createRedisHalves } from "../../src/jobs/commands/redis-halves.ts";
import { type Limits, defaultLimits } from "../../src/jobs/import/pieces.ts";
import { createSlots, toldInTurn } from "../../src/jobs/import/slots.ts";
import { createPhoneImport } from "../../src/suppression/phone-import.ts";
import { createSuppression } from "../../src/suppression/suppression.ts";
import { createAsking } from "../../src/leasing/asking.ts";
import { createLeaseRound } from "../../src/leasing/lease-round.ts";
import { createLeasing } from "../../src/leasing/leasing.ts";
import { createRecorder } from "../../src/leasing/recorder.ts";
import { createMetrics } from "../../src/vitals/metrics.ts";
import { ensureOrganization } from "../../src/postgres/api-keys.ts";
import type { SharesToWaitIn } from "../../src/postgres/connections/connections.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { openExports } from "../../src/postgres/contacts/exports.ts";
import { type RedisClient, openRedis } from "../../src/redis/connection.ts";
import { createAskers } from "../../src/redis/askers.ts";
import { createContactList } from "../../src/redis/contact-list.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { checkFitness } from "../../src/redis/fitness.ts";
import { createReservations } from "../../src/redis/reservations.ts";
import { createSchedule } from "../../src/redis/schedule.ts";
import { createSweep } from "../../src/starting/sweep.ts";
import { createTurnsByKey } from "../../src/timing/turns.ts";
import { readErasureKey } from "../../src/postgres/phones/erased-phones.ts";
import { createEventLog } from "../../src/events/event-log.ts";
import { createFollowing } from "../../src/events/following.ts";
import { createWatching } from "../../src/jobs/watching.ts";
import { cloneDatabase } from "./database.ts";
import { eventually } from "./eventually.ts";
import { removeKeysUnder } from "./redis-keys.ts";

export type Parts = Awaited<ReturnType<typeof startParts>>;

/** Once every server that holds keys takes commands; INFO alone is let through a little earlier. */
export async function connected(redis: RedisClient): Promise<RedisClient> {
  await eventually(async () => {
    await checkFitness(redis);
    if (redis.status !== "ready") throw new Error(`the client is not ready but ${redis.status}`);
  });
  return redis;
}

/**
 * Everything below the listeners, on a database and a Redis prefix of its own, with no loop running: a test calls the
 * passes itself. With `beside` it is another replica on the database and the prefix of that one.
 */
export async function startParts(
  options: {
    beside?: { databaseUrl: string; prefix: string };
    chunkSize?: number;
    /** Another Redis than the one of all tests. */
    redisUrl?: string;
    importLimits?: Partial<Limits>;
    exportLimits?: Partial<ExportLimits>;
  } = {},
) {
  const { beside } = options;
  await using stack = new AsyncDisposableStack();
  const database = beside === undefined ? stack.use(await cloneDatabase()) : { url: beside.databaseUrl };
  const db = openDatabase({ url: database.url, poolSize: 10 });
  stack.defer(() => db.destroy());
  const shares: SharesToWaitIn = { of: () => db, inLine: createTurnsByKey() };
  const reads = { reads: shares, searches: shares, lookUps: db };
  const redis = await connected(openRedis(options.redisUrl ?? inject("redisUrl")));
  stack.defer(() => redis.disconnect());
  const prefix = beside?.prefix ?? `test-${randomBytes(6).toString("hex")}`;
  stack.defer(() => (beside === undefined ? removeKeysUnder(redis, prefix) : undefined));

  const logger = pino({ level: "silent" });
  const metrics = createMetrics();
  const erasureKey = readErasureKey("the key of all tests, which is no secret");
  const keys = createKeys(prefix);
  const schedule = createSchedule(redis, keys);
  const contactList = createContactList(redis, keys);
  const reservations = createReservations(redis, keys);
  const clock = await startClock(db);
  const fanOut = stack.use(
    createFanOut({
      db,
      contactList,
      metrics,
      logger,
      ...(options.chunkSize === undefined ? {} : { chunkSize: options.chunkSize }),
    }),
  );
  const openings = stack.use(
    createOpenings({ db, logger, onOpened: (organizationId) => leasing.ring(organizationId) }),
  );
  const dueStarts = createDueStarts({ db, metrics, logger });
  const jobs = createBatchJobs({
    databaseUrl: database.url,
    shares,
    reads,
    schedule,
    contactList,
    fanOut,
    openings,
    logger,
    erasureKey,
  });
  const doRedisHalves = createRedisHalves({ schedule, contactList, fanOut, openings, logger });
  const files = {
    shares,
    limits: { ...defaultLimits, ...options.importLimits },
    inTurn: toldInTurn(createSlots(filesAtOnce), metrics),
    erasureKey,
  };
  const contactImport = createContactImport({
    ...files,
    directUrl: database.url,
    doRedisHalves,
    metrics,
  });
  const suppression = createSuppression({ shares, reads: shares, now: clock.now, erasureKey });
  const importPhones = createPhoneImport({ ...files, now: clock.now });
  const exportLimits = { ...defaultExportLimits, ...options.exportLimits };
  const exportsDb = openExports({
    url: database.url,
    atOnce: exportsAtOnce.atOnce,
    idleMs: exportLimits.idleMs,
  });
  stack.defer(() => exportsDb.destroy());
  const exportContacts = createContactExport({ db: exportsDb, limits: exportLimits, metrics });
  const exportRejectedRows = createRejectedRowsExport({ reads: shares });
  const recorder = stack.use(
    createRecorder({
      shares,
      contactList,
      reservations,
      metrics,
      logger,
      onFreed: (organizationId) => leasing.ring(organizationId),
    }),
  );
  // Redis is slow where the machine is busy.
  const reservingMs = 1_000;
  const round = stack.use(createLeaseRound({ shares, reservations, clock, logger }));
  const askers = createAskers(redis, keys, clock);
  const onAsk = createAsking(askers, logger);
  const leasing = stack.use(createLeasing({ shares, round, recorder, clock, logger, onAsk, reservingMs }));
  const holds = createHolds({ lookUps: db, askers });
  const watching = stack.use(createWatching({ db, logger, metrics }));
  const eventLog = createEventLog({ reads: shares });
  const following = stack.use(createFollowing({ db, logger }));
  const sweep = createSweep({ db, schedule, contactList, fanOut, openings, clock, metrics, logger });
  const caller: Caller = {
    apiKeyId: "00000000-0000-0000-0000-000000000001",
    organizationId: await ensureOrganization(db, "test"),
    role: "admin",
  };
  const running = stack.move();
  return {
    databaseUrl: database.url,
    prefix,
    db,
    shares,
    reads,
    redis,
    logger,
    metrics,
    keys,
    schedule,
    contactList,
    reservations,
    recorder,
    round,
    leasing,
    askers,
    holds,
    watching,
    eventLog,
    following,
    clock,
    fanOut,
    openings,
    ...dueStarts,
    jobs,
    doRedisHalves,
    contactImport,
    suppression,
    importPhones,
    exportContacts,
    erasureKey,
    exportRejectedRows,
    sweep,
    caller,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
