import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Client, type Transport, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { generateApiKey, hashApiKey } from "../src/domain/api-key.ts";
import { chooseDataDirectory } from "../src/embedded/data-directory.ts";
import { startEmbeddedPostgres } from "../src/embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../src/embedded/redis/redis.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ensureOrganization, insertApiKey } from "../src/postgres/api-keys.ts";
import { openDatabase } from "../src/postgres/connections/database.ts";
import { withPostgres } from "./measure.ts";

export type Servers = AsyncDisposable & { readonly databaseUrl: string; readonly redisUrl: string };

export type FreshService = Servers & {
  /** What clients of its services call through, under its key. */
  readonly transport: Transport;
  readonly client: Client<typeof BatchJobService>;
  readonly pid: number;
  readonly apiKey: string;
  readonly httpUrl: string;
  readonly grpcAddress: string;
};

/** Settings of Postgres that are not its own usual ones. */
type PostgresSettings = Readonly<Record<string, string>>;

/** For Postgres to remember when each transaction was committed. */
export const commitTimes: PostgresSettings = { track_commit_timestamp: "on" };

/** Postgres and Redis with empty data and their ordinary, durable settings but for these. */
export async function startFreshServers(postgresSettings: PostgresSettings = {}): Promise<Servers> {
  await using stack = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-bench-"));
  await chmod(dataDirectory, 0o755);
  stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const options = {
    dataDirectory,
    packageDirectory: join(chooseDataDirectory(undefined), "redis-package"),
    say: () => {},
  };
  const changed = Object.entries(postgresSettings);
  if (changed.length > 0) {
    await using first = await startEmbeddedPostgres(options);
    await withPostgres(first.url, async (client) => {
      for (const [name, value] of changed) await client.query(`alter system set ${name} = '${value}'`);
    });
  }
  const postgres = stack.use(await startEmbeddedPostgres(options));
  const redis = stack.use(await startEmbeddedRedis(options));
  const running = stack.move();
  return {
    databaseUrl: postgres.url,
    redisUrl: redis.url,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The service in a process of its own, on fresh servers. */
export async function startFreshService(
  postgresSettings: PostgresSettings = {},
  settings: Readonly<Record<string, string>> = {},
): Promise<FreshService> {
  await using stack = new AsyncDisposableStack();
  const { databaseUrl, redisUrl } = stack.use(await startFreshServers(postgresSettings));

  const apiKey = generateApiKey();
  const child = spawn(process.execPath, [join(import.meta.dirname, "../src/main.ts")], {
    env: {
      ...process.env,
      DATABASE_URL: databaseUrl,
      REDIS_URL: redisUrl,
      PORT: "0",
      GRPC_PORT: "0",
      LOG_LEVEL: "warn",
      CALLSHEET_BOOTSTRAP_API_KEY: apiKey,
      ...settings,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  stack.defer(async () => {
    child.kill("SIGTERM");
    if (child.exitCode === null) await once(child, "exit");
  });
  const { httpUrl, grpcAddress } = await readAddresses(child.stdout);
  const running = stack.move();
  return {
    ...callingThrough(grpcAddress, apiKey),
    pid: child.pid ?? 0,
    httpUrl,
    grpcAddress,
    databaseUrl,
    redisUrl,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

function callingThrough(grpcAddress: string, apiKey: string) {
  const transport = createGrpcTransport({
    baseUrl: `http://${grpcAddress}`,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${apiKey}`);
        return next(request);
      },
    ],
  });
  return { transport, client: createClient(BatchJobService, transport), apiKey };
}

/** Keys of an organization, which is made if there is none of that name. */
export async function makeKeys(
  { databaseUrl }: FreshService,
  organization: string,
  count: number,
): Promise<string[]> {
  const db = openDatabase({ url: databaseUrl, poolSize: 1 });
  try {
    const organizationId = await ensureOrganization(db, organization);
    const keys = Array.from({ length: count }, generateApiKey);
    for (const key of keys) {
      const hash = hashApiKey(key);
      await insertApiKey(db, { organizationId, name: "", role: "admin", hash, expiresAt: null });
    }
    return keys;
  } finally {
    await db.destroy();
  }
}

/** The same service, as another organization sees it. */
export async function asOrganization(service: FreshService, name: string): Promise<FreshService> {
  const [apiKey = ""] = await makeKeys(service, name, 1);
  return { ...service, ...callingThrough(service.grpcAddress, apiKey) };
}

async function readAddresses(output: NodeJS.ReadableStream) {
  for await (const line of createInterface({ input: output })) {
    const [, httpUrl, grpcAddress] = /^callsheet ready: (\S+) grpc:\/\/(\S+)$/.exec(line) ?? [];
    if (httpUrl !== undefined && grpcAddress !== undefined) return { httpUrl, grpcAddress };
  }
  throw new Error("the service ended before it was ready");
}
