import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type Client, type Transport, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { generateApiKey } from "../src/domain/api-key.ts";
import { chooseDataDirectory } from "../src/embedded/data-directory.ts";
import { startEmbeddedPostgres } from "../src/embedded/postgres/postgres.ts";
import { startEmbeddedRedis } from "../src/embedded/redis/redis.ts";
import { BatchJobService } from "../src/gen/callsheet/v1/batch_job_service_pb.ts";
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

/** With `commitTimes` Postgres remembers when each transaction was committed. */
type Setup = { readonly commitTimes: boolean };

/** Postgres and Redis with empty data and their ordinary, durable settings. */
export async function startFreshServers({ commitTimes }: Setup = { commitTimes: false }): Promise<Servers> {
  await using stack = new AsyncDisposableStack();
  const dataDirectory = await mkdtemp(join(tmpdir(), "callsheet-bench-"));
  await chmod(dataDirectory, 0o755);
  stack.defer(() => rm(dataDirectory, { recursive: true, force: true }));
  const options = {
    dataDirectory,
    packageDirectory: join(chooseDataDirectory(undefined), "redis-package"),
    say: () => {},
  };
  if (commitTimes) {
    await using first = await startEmbeddedPostgres(options);
    await withPostgres(first.url, (client) => client.query("alter system set track_commit_timestamp = on"));
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
  setup?: Setup,
  settings: Readonly<Record<string, string>> = {},
): Promise<FreshService> {
  await using stack = new AsyncDisposableStack();
  const { databaseUrl, redisUrl } = stack.use(await startFreshServers(setup));

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
  const transport = createGrpcTransport({
    baseUrl: `http://${grpcAddress}`,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${apiKey}`);
        return next(request);
      },
    ],
  });
  const running = stack.move();
  return {
    transport,
    client: createClient(BatchJobService, transport),
    pid: child.pid ?? 0,
    apiKey,
    httpUrl,
    grpcAddress,
    databaseUrl,
    redisUrl,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function readAddresses(output: NodeJS.ReadableStream) {
  for await (const line of createInterface({ input: output })) {
    const [, httpUrl, grpcAddress] = /^callsheet ready: (\S+) grpc:\/\/(\S+)$/.exec(line) ?? [];
    if (httpUrl !== undefined && grpcAddress !== undefined) return { httpUrl, grpcAddress };
  }
  throw new Error("the service ended before it was ready");
}
