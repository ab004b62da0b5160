import { write } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { type Config, readConfig } from "./config.ts";
import { keepApiKey } from "./embedded/api-key.ts";
import { chooseDataDirectory, holdDataDirectory } from "./embedded/data-directory.ts";
import { startEmbeddedPostgres } from "./embedded/postgres.ts";
import { startEmbeddedRedis } from "./embedded/redis.ts";
import { defaultLimits } from "./importing/pieces.ts";
import { openLog } from "./logger.ts";
import { startService } from "./service.ts";

const print = (line: string): void => void process.stdout.write(`${line}\n`);
const complain = (line: string): void => void process.stderr.write(`${line}\n`);

/** Complains for the last time, and not for ever: perhaps nobody reads it. */
const complainLast = (line: string) =>
  Promise.race([promisify(write)(2, `${line}\n`), delay(1_000)]).catch(() => {});

/** Starts what DATABASE_URL and REDIS_URL do not name, and tells where it is. */
async function startServers(config: Config, stack: AsyncDisposableStack) {
  const { DATABASE_URL: databaseUrl, REDIS_URL: redisUrl } = config;
  let { CALLSHEET_BOOTSTRAP_API_KEY: bootstrapApiKey } = config;
  if (databaseUrl !== undefined && redisUrl !== undefined) return { databaseUrl, redisUrl, bootstrapApiKey };
  const dataDirectory = chooseDataDirectory(config.CALLSHEET_DATA_DIR);
  complain(`embedded servers: data in ${dataDirectory}`);
  stack.use(await holdDataDirectory(dataDirectory));
  const options = { dataDirectory, say: complain };
  if (databaseUrl === undefined && bootstrapApiKey === undefined) {
    const kept = await keepApiKey(join(dataDirectory, "api-key"));
    bootstrapApiKey = kept.key;
    if (kept.isNew) print(`callsheet api key: ${kept.key} (kept in ${kept.file})`);
  }
  return {
    databaseUrl: databaseUrl ?? stack.use(await startEmbeddedPostgres(options)).url,
    redisUrl: redisUrl ?? stack.use(await startEmbeddedRedis(options)).url,
    bootstrapApiKey,
  };
}

async function main(): Promise<void> {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stop.abort());

  const config = readConfig(process.env);
  await using stack = new AsyncDisposableStack();
  const log = stack.use(openLog(config.LOG_LEVEL));
  const servers = await startServers(config, stack);
  if (stop.signal.aborted) return;
  const service = stack.use(
    await startService({
      ...servers,
      databaseDirectUrl: config.DATABASE_DIRECT_URL,
      databasePoolSize: config.DATABASE_POOL_SIZE,
      redisPrefix: config.REDIS_PREFIX,
      host: config.HOST,
      port: config.PORT,
      grpcPort: config.GRPC_PORT,
      shutdownTimeoutMs: config.SHUTDOWN_TIMEOUT,
      connectionMaxAgeMs: config.CONNECTION_MAX_AGE || Infinity,
      retentionDays: config.RETENTION_DAYS,
      importLimits: {
        ...defaultLimits,
        maxBytes: config.IMPORT_MAX_BYTES,
        timeoutMs: config.IMPORT_TIMEOUT,
      },
      logger: log.logger,
      droppedLogLines: log.dropped,
    }),
  );
  print(`callsheet ready: http://${config.HOST}:${service.port} grpc://${config.HOST}:${service.grpcPort}`);
  if (!stop.signal.aborted) {
    await new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve()));
  }
}

try {
  await main();
  process.exit(0);
} catch (error) {
  await complainLast(error instanceof Error ? error.message : String(error));
  process.exit(1);
}
