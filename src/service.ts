import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { hashApiKey } from "./domain/api-key.ts";
import type { Caller } from "./domain/caller.ts";
import { createAccess } from "./access/access.ts";
import { createApiKeys } from "./access/api-keys.ts";
import { startLastUses } from "./access/last-uses.ts";
import { createLimiter } from "./access/rates.ts";
import { createWrongKeys } from "./access/wrong-keys.ts";
import { type Rates, noRates } from "./domain/rates.ts";
import { createEventLog } from "./events/event-log.ts";
import { createFollowing } from "./events/following.ts";
import { createBatchJobs } from "./jobs/batch-jobs.ts";
import { startClock } from "./vitals/clock.ts";
import { createDueStarts } from "./starting/due-starts.ts";
import { createFanOut } from "./starting/fan-out.ts";
import { AccessService } from "./gen/callsheet/v1/access_service_pb.ts";
import { EventService } from "./gen/callsheet/v1/event_service_pb.ts";
import { BatchJobService } from "./gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "./gen/callsheet/v1/contact_worker_service_pb.ts";
import { createPlans } from "./jobs/plans.ts";
import { createHistory, startHistory } from "./jobs/history.ts";
import { createHolds } from "./jobs/holds.ts";
import { SuppressionService } from "./gen/callsheet/v1/suppression_service_pb.ts";
import { WebhookService } from "./gen/callsheet/v1/webhook_service_pb.ts";
import { createContactImport, filesAtOnce } from "./jobs/import/contact-import.ts";
import { createRedisHalves } from "./jobs/commands/redis-halves.ts";
import {
  type ExportLimits,
  createContactExport,
  defaultExportLimits,
  exportsAtOnce,
} from "./jobs/export/contact-export.ts";
import { createRejectedRowsExport } from "./jobs/export/rejected-rows.ts";
import { type Limits, defaultLimits } from "./jobs/import/pieces.ts";
import { createSlots, toldInTurn } from "./jobs/import/slots.ts";
import { createAsking } from "./leasing/asking.ts";
import { startExpiry } from "./leasing/expiry.ts";
import { createLeaseRound } from "./leasing/lease-round.ts";
import { createLeaseTraces } from "./leasing/lease-traces.ts";
import { createLeasing } from "./leasing/leasing.ts";
import { createRecorder } from "./leasing/recorder.ts";
import { addVitals, createMetrics, noteTls } from "./vitals/metrics.ts";
import type { Networks } from "./domain/networks.ts";
import { ensureOrganization, insertApiKey } from "./postgres/api-keys.ts";
import { takeCensus } from "./postgres/census.ts";
import { openConnections } from "./postgres/connections/connections.ts";
import { openDatabase, refusalOf } from "./postgres/connections/database.ts";
import { openExports } from "./postgres/contacts/exports.ts";
import { keepErasureKey, readErasureKey } from "./postgres/phones/erased-phones.ts";
import { keepRedisPrefix } from "./postgres/schema/installation.ts";
import { prepareDatabase } from "./postgres/schema/prepare.ts";
import { onceUsable } from "./postgres/connections/wait.ts";
import { startConnectionWatch } from "./vitals/connection-watch.ts";
import { type Finding, pulseInterceptor, startPulse } from "./vitals/pulse.ts";
import type { Traces } from "./vitals/traces.ts";
import { startRedisWatch } from "./vitals/redis-watch.ts";
import { openRedis } from "./redis/connection.ts";
import { createAskers } from "./redis/askers.ts";
import { createContactList } from "./redis/contact-list.ts";
import { createKeys, readJobKey, writeJobKey } from "./redis/keys.ts";
import { createBuckets } from "./redis/rates.ts";
import { createReservations } from "./redis/reservations.ts";
import { createSchedule } from "./redis/schedule.ts";
import { onMessage } from "./redis/signals.ts";
import { type RedisTlsFiles, readTls } from "./redis/tls.ts";
import { accessService } from "./rpc/services/access-service.ts";
import { batchJobService } from "./rpc/services/batch-job-service.ts";
import { eventService } from "./rpc/services/event-service.ts";
import { eventJson } from "./rpc/convert/events.ts";
import { contactWorkerService } from "./rpc/services/contact-worker-service.ts";
import { findAddressThrough } from "./rpc/gate/caller-address.ts";
import { createLargeTurns } from "./rpc/requests/large-turns.ts";
import { createBytesInHand, heapShare } from "./rpc/requests/bytes-in-hand.ts";
import { consoleDirectory, consolePages } from "./rpc/http/pages/console-pages.ts";
import { createErrorTranslation, errorInterceptor } from "./rpc/errors.ts";
import { createGate } from "./rpc/gate/gate.ts";
import { startGrpcListener } from "./rpc/grpc/listener.ts";
import { createHealth } from "./rpc/services/health.ts";
import { startHttpListener } from "./rpc/http/listener.ts";
import type { Page } from "./rpc/http/pages/pages.ts";
import type { ServedPath } from "./rpc/http/paths.ts";
import { observationInterceptor } from "./rpc/calls/observation.ts";
import { openCallsInterceptor } from "./rpc/calls/open-calls.ts";
import { openPorch } from "./rpc/http/pages/porch.ts";
import { reflectionEntries } from "./rpc/services/reflection.ts";
import { createRefused } from "./rpc/gate/refusals.ts";
import { serviceEntry } from "./rpc/services/service-table.ts";
import { createStrangers } from "./rpc/gate/strangers.ts";
import { tracingInterceptor } from "./rpc/calls/tracing.ts";
import { type OnLook, openCertificates } from "./rpc/tls/certificates.ts";
import { createFileReader, type FileReader, type TlsFiles } from "./rpc/tls/files.ts";
import { validationInterceptor } from "./rpc/requests/validation.ts";
import { suppressionService } from "./rpc/services/suppression-service.ts";
import { webhookService } from "./rpc/services/webhook-service.ts";
import { openApiPage } from "./rest/openapi/openapi-page.ts";
import { createRest } from "./rest/serve.ts";
import { createOpenings, startOpenings } from "./starting/openings.ts";
import { startScheduler } from "./starting/scheduler.ts";
import { startSweep } from "./starting/sweep.ts";
import { startEnding } from "./jobs/commands/ending.ts";
import { createEstimates, startProgress } from "./jobs/progress.ts";
import { startResuming } from "./jobs/commands/resuming.ts";
import { startSorting } from "./jobs/contacts/sorting.ts";
import { createWatching } from "./jobs/watching.ts";
import { createPhoneImport } from "./suppression/phone-import.ts";
import { createSuppression } from "./suppression/suppression.ts";
import { startDelivering } from "./webhooks/delivering.ts";
import type { ConnectPolicy } from "./webhooks/endpoint-url.ts";
import { createWebhooks } from "./webhooks/endpoints.ts";
import { createSender } from "./webhooks/sending.ts";

export type ServiceOptions = {
  readonly databaseUrl: string;
  /** The same database without a pooler between, where databaseUrl has one. */
  readonly databaseDirectUrl?: string | undefined;
  readonly databasePoolSize: number;
  readonly redisUrl: string;
  /** For a Redis that is reached by TLS. */
  readonly redisTls?: RedisTlsFiles;
  readonly redisPrefix: string;
  readonly host: string;
  /** 0 takes any free port; likewise grpcPort. */
  readonly port: number;
  readonly grpcPort: number;
  /** With these both listeners speak TLS. */
  readonly tls?: TlsFiles | undefined;
  /** What reads them, and those for Redis; one of its own if not given. */
  readonly fileReader?: FileReader;
  /** Pages of these origins may call. */
  readonly corsOrigins?: readonly string[] | undefined;
  /** What all paths of the HTTP port begin with. */
  readonly basePath?: string | undefined;
  /** Where proxies are that say where a call comes from. */
  readonly trustedProxies?: Networks | undefined;
  /** An admin key of the organization `default`, made if it does not exist. */
  readonly bootstrapApiKey: string | undefined;
  readonly shutdownTimeoutMs: number;
  /** How long it still takes calls after it has begun to say that it does not; 0 if not given. */
  readonly shutdownDelayMs?: number;
  /** Clients are asked to connect anew after so long; Infinity, as not given, for never. */
  readonly connectionMaxAgeMs?: number;
  readonly importLimits?: Limits;
  readonly exportLimits?: ExportLimits;
  /** How long a connection over HTTP stays open that has nothing to do. */
  readonly keepAliveMs?: number;
  /** LeaseContacts waits no longer, whatever is asked for. */
  readonly longestWaitMs?: number;
  /** Calls a second by class that an organization may make that has no rates of its own; no limits if not given. */
  readonly rates?: Rates;
  /** Jobs that ended more days ago are deleted; undefined keeps them. */
  readonly retentionDays?: number | undefined;
  /** Events that are older are in the log no more; 30 if not given. */
  readonly eventRetentionDays?: number;
  /** Where webhooks may be sent; to public addresses over https alone if not given. */
  readonly webhookPolicy?: ConnectPolicy;
  readonly logger: Logger;
  /** Where spans go; there are none without it. */
  readonly traces?: Traces | undefined;
  /** What phones are hashed with that are erased; without it nobody is. */
  readonly erasureKey?: string | undefined;
  /** What a call is reckoned to last, for a job's estimated duration. */
  readonly estimatedCallMs?: number;
  /** How many lines of the log were dropped. */
  readonly droppedLogLines?: () => number;
  /** Ends a start that waits for Postgres, or changes its schema: it throws the reason. */
  readonly signal?: AbortSignal;
};

/** A running replica. Disposing it takes no more work, finishes what is in hand, and closes every connection. */
export type Service = AsyncDisposable & {
  readonly port: number;
  readonly grpcPort: number;
  /** All that is answered on the HTTP port. */
  readonly httpPaths: readonly ServedPath[];
};

const readinessOf: Record<Finding, Page> = {
  answers: { body: "ready\n" },
  "hangs commits": { status: 503, body: "not ready: Postgres does not end what is written\n" },
  silent: { status: 503, body: "not ready: Postgres does not answer\n" },
};

const leaving: Page = { status: 503, body: "not ready: Callsheet is shutting down\n" };

/**
 * Beside what it watches with, what a replica has of Postgres: one connection to see that it answers, one for its
 * time.
 */
const vitalConnections = 2;
const vitalTimeoutMs = 1_000;

/** A signal that nobody gives. */
const never = new AbortController().signal;

export async function startService(options: ServiceOptions): Promise<Service> {
  const { logger, shutdownTimeoutMs: graceMs, importLimits = defaultLimits } = options;
  const { exportLimits = defaultExportLimits, traces } = options;
  const { connectionMaxAgeMs = Infinity, shutdownDelayMs = 0 } = options;
  const { fileReader = createFileReader() } = options;
  const redisTls = await readTls(options.redisUrl, options.redisTls ?? {}, fileReader.read);
  await using opened = new AsyncDisposableStack();

  const metrics = createMetrics();
  const { tls, basePath = "", corsOrigins = [] } = options;
  const onLook: OnLook = (seen) => noteTls(metrics, seen);
  const certificates = tls && opened.use(await openCertificates(tls, { logger, onLook, reader: fileReader }));
  const porch = await openPorch({ ...options, certificates, basePath, corsOrigins });
  opened.defer(() => porch.close());
  function waitsFor(sentence: string | undefined): void {
    porch.waitsFor(sentence);
    if (sentence === undefined) logger.info("Postgres can be used; the start goes on");
    else logger.error(`The start waits for Postgres. ${sentence}`);
  }
  const { databaseUrl, databaseDirectUrl: directUrl = databaseUrl, signal = never } = options;
  if (directUrl !== databaseUrl) {
    await onceUsable(directUrl, { signal, waitsFor, variable: "DATABASE_DIRECT_URL" }, async () => {});
  }
  function waitsForOthers(sentence: string | undefined): void {
    porch.waitsFor(sentence);
    if (sentence === undefined) logger.info("The wait for the schema is over; the start goes on");
    else logger.warn(`The start waits. ${sentence}`);
  }
  const use = { isBesideDirect: directUrl !== databaseUrl };
  await onceUsable(databaseUrl, { signal, waitsFor, use }, () =>
    prepareDatabase({ databaseUrl, directUrl }, { signal, waitsFor: waitsForOthers }),
  );

  const vitals = openDatabase({
    url: databaseUrl,
    poolSize: vitalConnections,
    queryTimeoutMs: vitalTimeoutMs,
  });
  opened.defer(() => vitals.destroy());
  const pulse = opened.use(await startPulse(vitals, databaseUrl, logger));
  const connecting = opened.use(startConnectionWatch({ databaseUrl, directUrl }, logger));
  const connections = opened.use(
    openConnections({
      url: databaseUrl,
      sum: options.databasePoolSize,
      onDeadlock: () => metrics.deadlocks.inc(),
      onSlowCommit: pulse.suspectCommits,
      checkCommits: pulse.checkCommits,
      onConnected: connecting.noteMade,
    }),
  );
  const { background: db, work: shares } = connections;
  if (options.bootstrapApiKey !== undefined) {
    const organizationId = await ensureOrganization(db, "default");
    const hash = hashApiKey(options.bootstrapApiKey);
    await insertApiKey(db, { organizationId, name: "bootstrap", role: "admin", hash, expiresAt: null });
  }

  addVitals(metrics, {
    isPostgresUp: () => pulse.finding() === "answers",
    isConnectable: connecting.isWell,
    connections: connections.usage,
    droppedLogLines: options.droppedLogLines ?? (() => 0),
    census: () => pulse.guard(() => takeCensus(connections.lookUps)),
  });
  const redis = openRedis(options.redisUrl, redisTls);
  opened.defer(() => redis.disconnect());
  const subscriber = openRedis(options.redisUrl, redisTls);
  opened.defer(() => subscriber.disconnect());
  const installationId = await keepRedisPrefix(db, options.redisPrefix);
  const erasureKey = options.erasureKey === undefined ? undefined : readErasureKey(options.erasureKey);
  await keepErasureKey(db, erasureKey);
  const keys = createKeys(options.redisPrefix);
  opened.use(await startRedisWatch({ redis, subscriber, keys, installationId, metrics, logger }));

  const schedule = createSchedule(redis, keys);
  const contactList = createContactList(redis, keys);
  const reservations = createReservations(redis, keys);
  const clock = await startClock(vitals);
  const fanOut = opened.use(
    createFanOut({
      db,
      contactList,
      metrics,
      logger,
      onLeft: async (job) => void (await redis.publish(keys.leftFanOut, writeJobKey(job))),
    }),
  );
  onMessage(subscriber, keys.leftFanOut, (message) => void fanOut.run(readJobKey(message)));
  const openings = opened.use(
    createOpenings({ db, logger, onOpened: (organizationId) => freed(organizationId) }),
  );
  opened.use(startOpenings({ openings, logger }));
  const dueStarts = createDueStarts({ db: connections.starts, metrics, logger, traces });
  const jobs = createBatchJobs({
    databaseUrl: directUrl,
    shares,
    reads: connections,
    schedule,
    contactList,
    fanOut,
    openings,
    onEndSet: () => ending.ring(),
    logger,
    erasureKey,
  });
  const inTurn = toldInTurn(createSlots(filesAtOnce), metrics);
  const files = { shares, limits: importLimits, inTurn, erasureKey };
  const doRedisHalves = createRedisHalves({ schedule, contactList, fanOut, openings, logger });
  opened.use(startResuming({ db, doRedisHalves, clock, logger }));
  const ending = opened.use(startEnding({ db, doRedisHalves, clock, logger }));
  const contactImport = createContactImport({
    ...files,
    directUrl,
    doRedisHalves,
    metrics,
  });
  const exportsDb = openExports({
    url: databaseUrl,
    atOnce: exportsAtOnce.atOnce,
    idleMs: exportLimits.idleMs,
  });
  opened.defer(() => exportsDb.destroy());
  const exportContacts = createContactExport({
    db: exportsDb,
    limits: exportLimits,
    guard: pulse.guard,
    metrics,
  });
  const freed = (organizationId: number): void => {
    leasing.ring(organizationId);
    // Other replicas hear of it; a lost word costs them a second.
    redis.publish(keys.work, String(organizationId)).catch(() => {});
  };
  const recorder = opened.use(
    createRecorder({ shares, contactList, reservations, metrics, logger, onFreed: freed }),
  );
  const round = opened.use(createLeaseRound({ shares, reservations, clock, logger }));
  const askers = createAskers(redis, keys, clock);
  const onAsk = createAsking(askers, logger);
  const leasing = createLeasing({ shares, round, recorder, clock, logger, onAsk });
  onMessage(subscriber, keys.work, (organizationId) => leasing.ring(Number(organizationId)));
  opened.use(startExpiry({ db, recorder, logger }));
  const watching = opened.use(
    createWatching({ db: connections.lookUps, logger, metrics, guard: pulse.guard }),
  );
  opened.use(
    startScheduler({
      ...dueStarts,
      schedule,
      fanOut,
      openings,
      onStarted: leasing.offer,
      clock,
      subscriber,
      metrics,
      logger,
    }),
  );
  opened.use(startSweep({ ...options, db, schedule, contactList, fanOut, openings, clock, metrics }));

  const holds = createHolds({ lookUps: connections.lookUps, askers });
  const planRun = createPlans({ reads: connections, queries: jobs });
  opened.use(startProgress({ db, logger }));
  opened.use(startSorting({ db, logger }));
  opened.use(startHistory({ db, logger }));
  const estimate = createEstimates(connections);

  const limiter = createLimiter({
    buckets: createBuckets(redis, keys),
    rates: options.rates ?? noRates,
    onLimited: (rateClass) => metrics.rateLimited.inc({ class: rateClass }),
    logger,
  });
  const followStarts = createLeaseTraces(connections.lookUps, logger);
  const access = createAccess({
    shares,
    reads: connections.reads,
    onOtherHours: (organizationId) => void openings.moveFloor(organizationId),
  });
  const suppression = createSuppression({
    shares,
    reads: connections.reads,
    now: clock.now,
    erasureKey,
  });
  const following = opened.use(createFollowing({ db: connections.lookUps, logger, guard: pulse.guard }));
  const eventLog = createEventLog({ reads: connections.reads });
  const { webhookPolicy: policy = { allowInsecure: false, allowedNetworks: undefined } } = options;
  const webhooks = createWebhooks({ shares, reads: connections.reads, policy, now: clock.now });
  const sender = createSender(policy);
  opened.use(startDelivering({ db, sender, write: eventJson, now: clock.now, metrics, logger, traces }));
  const importPhones = createPhoneImport({ ...files, now: clock.now });
  const lastUses = opened.use(startLastUses({ db, logger }));
  const health = createHealth([
    BatchJobService.typeName,
    ContactWorkerService.typeName,
    AccessService.typeName,
    SuppressionService.typeName,
    EventService.typeName,
    WebhookService.typeName,
  ]);
  const services = [
    serviceEntry(
      BatchJobService,
      batchJobService(
        jobs,
        holds,
        planRun,
        estimate,
        createHistory(connections),
        watching,
        contactImport,
        exportContacts,
        createRejectedRowsExport({ reads: connections.reads }),
      ),
    ),
    serviceEntry(
      ContactWorkerService,
      contactWorkerService(leasing, recorder, { ...options, followStarts, limiter }),
    ),
    serviceEntry(AccessService, accessService(access)),
    serviceEntry(SuppressionService, suppressionService(suppression, importPhones)),
    serviceEntry(EventService, eventService(eventLog, following)),
    serviceEntry(WebhookService, webhookService(webhooks)),
    health.entry,
  ];
  const validation = validationInterceptor(services);
  pulse.onLost(leasing.fail);
  pulse.onLost(watching.fail);
  pulse.onLost(following.fail);
  pulse.onWritesLost(leasing.fail);
  const translate = createErrorTranslation(logger, refusalOf);
  const apiKeys = opened.use(createApiKeys({ db: connections.lookUps, logger }));
  const wrongKeys = createWrongKeys(() => metrics.rateLimited.inc({ class: "unknown_key" }));
  async function authenticate(authorization: string | null): Promise<Caller> {
    const caller = await pulse.guard(() => apiKeys.authenticate(authorization));
    lastUses.note(caller);
    return caller;
  }
  const refused = createRefused({ metrics, logger });
  const bytesInHand = createBytesInHand({
    maxBytes: heapShare(),
    onChange: (bytes) => metrics.requestBytesInHand.set(bytes),
  });
  const shared = {
    refused,
    bytesInHand,
    largeTurns: createLargeTurns(),
    strangers: createStrangers(
      {
        isFamiliar: apiKeys.isFamiliar,
        isValid: (authorization) => pulse.guard(() => apiKeys.isValid(authorization)),
      },
      wrongKeys,
    ),
    certificates,
    findAddress: findAddressThrough(options.trustedProxies),
    host: options.host,
    connectionMaxAgeMs,
    gate: createGate(authenticate, { translate, refused, limiter }),
    observe: [
      ...(traces === undefined ? [] : [tracingInterceptor(traces)]),
      observationInterceptor(metrics, logger),
    ],
    interceptors: [
      openCallsInterceptor({
        whileValid: apiKeys.whileValid,
        translate,
        metrics,
        streamMaxAgeMs: connectionMaxAgeMs,
      }),
      validation,
      errorInterceptor(translate),
      pulseInterceptor(pulse),
    ],
  };
  const grpc = await startGrpcListener({
    ...shared,
    port: options.grpcPort,
    services: [...services, ...reflectionEntries(services)],
  });
  opened.defer(() => grpc.stop(graceMs));
  await porch.close();
  let isLeaving = false;
  /** What works on the connections that it has is ready; what has none of a kind, and can make none, is not. */
  async function readiness(): Promise<Page> {
    const finding = await pulse.beat();
    const obstacle = connecting.obstacle();
    const lacks = connections.usage().some(({ open }) => open === 0);
    return finding === "answers" && obstacle !== undefined && lacks
      ? { status: 503, body: `not ready: ${obstacle}\n` }
      : readinessOf[finding];
  }
  const httpOptions = { ...shared, port: options.port, services, basePath, corsOrigins };
  const { estimatedCallMs = 120_000 } = options;
  const http = await startHttpListener({
    ...httpOptions,
    door: createRest({ ...httpOptions, translate, deps: { jobs, exportContacts, estimatedCallMs } }),
    uploadTimeoutMs: importLimits.timeoutMs,
    ...(options.keepAliveMs !== undefined && { keepAliveMs: options.keepAliveMs }),
    pages: {
      ...consolePages(consoleDirectory, basePath),
      "/openapi.json": openApiPage(basePath),
      "/healthz": () => ({ body: "ok\n" }),
      "/readyz": async () => (isLeaving ? leaving : await readiness()),
      "/metrics": async () => ({
        headers: { "content-type": metrics.registry.contentType },
        body: await metrics.registry.metrics(),
      }),
    },
  });
  opened.defer(() => http.stop(graceMs));
  health.set(true);

  const running = opened.move();
  return {
    port: http.port,
    grpcPort: grpc.port,
    httpPaths: http.paths,
    async [Symbol.asyncDispose]() {
      health.set(false);
      isLeaving = true;
      await delay(shutdownDelayMs);
      // Long polls are answered at once, with nothing.
      await Promise.all([leasing[Symbol.asyncDispose](), http.stop(graceMs), grpc.stop(graceMs)]);
      await running.disposeAsync();
    },
  };
}
