import { once } from "node:events";
import { write } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type Config, readConfig, redisFilesOf, tlsFilesOf, unknownSettings } from "./config.ts";
import { keepApiKey } from "./embedded/api-key.ts";
import { keepErasureKey } from "./embedded/erasure-key.ts";
import { chooseDataDirectory, holdDataDirectory } from "./embedded/data-directory.ts";
import { startEmbeddedPostgres } from "./embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "./embedded/redis/redis.ts";
import { defaultExportLimits } from "./jobs/export/contact-export.ts";
import { defaultLimits } from "./jobs/import/pieces.ts";
import { openLog } from "./vitals/logger.ts";
import { isTracingWanted, openTraces } from "./vitals/traces.ts";
import { isPostgresUnavailable } from "./postgres/connections/database.ts";
import { obstacleOf } from "./postgres/connections/obstacle.ts";
import { inUrl } from "./rpc/listener.ts";
import { createFileReader, type FileReader, readIdentity } from "./rpc/tls/files.ts";
import { startService } from "./service.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/** Complains for the last time, and not for ever: perhaps nobody reads it. */
const complainLast = (line: string) =>
  Promise.race([promisify(write)(2, `${line}\n`), delay(1_000)]).catch(() => {});

/** Why the program ends: somebody asked it to. */
const asked = new Error("a signal came");

/** Starts what DATABASE_URL and REDIS_URL do not name, and tells where it is. */
async function startServers(config: Config, stack: AsyncDisposableStack, stop: AbortController) {
  const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } = config;
  let { CALLSHEET_BOOTSTRAP_API_KEY: bootstrapApiKey, ERASURE_KEY: erasureKey } = config;
  if (databaseUrl !== undefined && redisUrl !== undefined)
    return { databaseUrl, redisUrl, bootstrapApiKey, erasureKey };
  const dataDirectory = chooseDataDirectory(config.CALLSHEET_DATA_DIR);
  complain(`embedded servers: data in ${dataDirectory}`);
  stack.use(await holdDataDirectory(dataDirectory));
  const options = {
    dataDirectory,
    say: complain,
    onLost: (error: Error) => stop.abort(error),
    stopping: stop.signal,
  };
  if (databaseUrl === undefined && bootstrapApiKey === undefined) {
    const kept = await keepApiKey(join(dataDirectory, "api-key"));
    bootstrapApiKey = kept.key;
    if (kept.isNew) print(`callsheet api key: ${kept.key} (kept in ${kept.file})`);
  }
  if (databaseUrl === undefined) erasureKey ??= await keepErasureKey(join(dataDirectory, "erasure-key"));
  return {
    erasureKey,
    databaseUrl: databaseUrl ?? stack.use(await startEmbeddedPostgres(options)).url,
    redisUrl: redisUrl ?? stack.use(await startEmbeddedRedis(options)).url,
    bootstrapApiKey,
  };
}

/** Runs until it throws, and be it because it was asked to end. */
async function main(fileReader: FileReader): Promise<never> {
  const stop = new AbortController();
  // npm hands on what a terminal has sent to both already: the second one must not end what the first has begun.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stop.abort(asked));

  const config = readConfig(process.env);
  await using stack = new AsyncDisposableStack();
  const log = stack.use(openLog(config.LOG_LEVEL));
  for (const sentence of unknownSettings(process.env)) log.logger.warn(sentence);
  const tls = tlsFilesOf(config);
  // Before a server is started for nothing.
  if (tls !== undefined) await readIdentity(tls, fileReader);
  const traces = isTracingWanted(process.env) ? stack.use(await openTraces(log)) : undefined;
  const servers = await startServers(config, stack, stop);
  stop.signal.throwIfAborted();
  const service = stack.use(
    await startService({
      ...servers,
      databaseDirectUrl: config.DATABASE_DIRECT_URL,
      databasePoolSize: config.DATABASE_POOL_SIZE,
      redisTls: redisFilesOf(config),
      redisPrefix: config.REDIS_PREFIX,
      host: config.HOST,
      port: config.PORT,
      tls,
      fileReader,
      corsOrigins: config.CORS_ORIGINS,
      basePath: config.BASE_PATH,
      trustedProxies: config.TRUST_PROXY,
      grpcPort: config.GRPC_PORT,
      shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT,
      shutdownDelayMs: config.SHUTDOWN_DELAY,
      connectionMaxAgeMs: config.CONNECTION_MAX_AGE || Infinity,
      keepAliveMs: config.KEEP_ALIVE_TIMEOUT,
      longestWaitMs: config.LONGEST_WAIT,
      rates: {
        read: config.RATE_READ,
        command: config.RATE_COMMAND,
        import: config.RATE_IMPORT,
        lease: config.RATE_LEASE,
      },
      estimatedCallMs: config.ESTIMATED_CALL_SECONDS,
      retentionDays: config.RETENTION_DAYS,
      eventRetentionDays: config.EVENT_RETENTION_DAYS,
      webhookPolicy: {
        allowInsecure: config.WEBHOOK_ALLOW_INSECURE,
        allowedNetworks: config.WEBHOOK_ALLOWED_NETWORKS,
      },
      importLimits: {
        ...defaultLimits,
        maxBytes: config.IMPORT_MAX_BYTES,
        timeoutMs: config.IMPORT_TIMEOUT,
      },
      exportLimits: { ...defaultExportLimits, timeoutMs: config.EXPORT_TIMEOUT },
      logger: log.logger,
      traces,
      droppedLogLines: log.dropped,
      signal: stop.signal,
    }).catch((error: unknown) => {
      // Postgres went away again; an error of its own would not name it.
      if (isPostgresUnavailable(error)) throw new Error(obstacleOf(error, servers.databaseUrl).sentence);
      throw error;
    }),
  );
  const host = inUrl(config.HOST);
  const [http, grpc] = config.TLS_CERT_FILE === undefined ? ["http", "grpc"] : ["https", "grpcs"];
  const path = config.BASE_PATH ?? "";
  print(`callsheet ready: ${http}://${host}:${service.port}${path} ${grpc}://${host}:${service.grpcPort}`);
  if (!stop.signal.aborted) await once(stop.signal, "abort");
  throw stop.signal.reason;
}

/** A reading that does not hang ends sooner. */
const lastReadMs = 1_000;

/**
 * Ends the process: by force while a thread of it reads a file that hangs, as on a mount whose server is away. An
 * orderly end would wait for that.
 */
async function end(code: number, fileReader: FileReader): Promise<never> {
  if (!(await fileReader.endsWithin(lastReadMs))) process.kill(process.pid, "SIGKILL");
  process.exit(code);
}

/** The program: runs the service until a signal comes, and ends the process. */
export async function runService(): Promise<never> {
  // Whoever reads what is printed may leave, as a script does that waits for a line.
  for (const output of [process.stdout, process.stderr]) output.on("error", () => {});
  const fileReader = createFileReader();
  try {
    return await main(fileReader);
  } catch (error) {
    if (error === asked) return await end(0, fileReader);
    await complainLast(error instanceof Error ? error.message : String(error));
    return await end(1, fileReader);
  }
}

if (import.meta.main) await runService();
