import { readFile, readdir } from "node:fs/promises";
import { type Server, createServer } from "node:net";
import { createClient } from "@connectrpc/connect";
import { sendSignal } from "../../src/embedded/server-process.ts";
import { BatchJobService } from "../../src/gen/callsheet/v1/batch_job_service_pb.ts";
import { ContactWorkerService } from "../../src/gen/callsheet/v1/contact_worker_service_pb.ts";
import { EventService } from "../../src/gen/callsheet/v1/event_service_pb.ts";
import { SuppressionService } from "../../src/gen/callsheet/v1/suppression_service_pb.ts";
import { WebhookService } from "../../src/gen/callsheet/v1/webhook_service_pb.ts";
import { startProgram } from "./command.ts";
import { eventually } from "./eventually.ts";
import { type Proxy, startProxy } from "./servers/proxy.ts";
import { grpcTo } from "./transports.ts";

/**
 * The service in a process of its own, with its own ways to Postgres and to Redis. It keeps its ports when it is
 * started again.
 */
export type Replica = AsyncDisposable & {
  readonly name: string;
  readonly postgres: Proxy;
  readonly redis: Proxy;
  readonly httpUrl: string;
  readonly grpcUrl: string;
  readonly clients: Clients;
  /** Resolves when it is ready. */
  start(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** SIGTERM; answers how it ended, and how long that took. */
  stop(): Promise<{ exitCode: number | null; ms: number }>;
  freeze(): void;
  thaw(): void;
  /** True from its readiness to its end. */
  isUp(): boolean;
  /** Everything that it has logged, in all its lives. */
  log(): string;
  /** The value of a metric without labels. */
  metric(name: string): Promise<number>;
  /** What the process holds: resident memory in MB, and open files and sockets. */
  usage(): Promise<{ megabytes: number; handles: number }>;
};

export type Clients = ReturnType<typeof createClients>;

/** Clients over gRPC with an API key. */
export function createClients(baseUrl: string, apiKey: string) {
  const transport = grpcTo(baseUrl, apiKey);
  return {
    jobs: createClient(BatchJobService, transport),
    worker: createClient(ContactWorkerService, transport),
    suppression: createClient(SuppressionService, transport),
    events: createClient(EventService, transport),
    webhooks: createClient(WebhookService, transport),
  };
}

/** A server that listens there, or undefined if somebody else does. */
async function listen(port: number, address: string): Promise<Server | undefined> {
  const server = createServer();
  return await new Promise((resolve) => {
    server.once("error", () => resolve(undefined));
    server.listen(port, address, () => resolve(server));
  });
}

/**
 * A free port below those that connections take, so that nobody takes it while its replica is down. Until it is
 * disposed of it is taken on another address, where all that start replicas look first.
 */
async function holdPort(): Promise<AsyncDisposable & { port: number }> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 15_000);
    const held = await listen(port, "127.0.0.2");
    if (held === undefined) continue;
    const probe = await listen(port, "127.0.0.1");
    await probe?.[Symbol.asyncDispose]();
    if (probe !== undefined) return { port, [Symbol.asyncDispose]: () => held[Symbol.asyncDispose]() };
    await held[Symbol.asyncDispose]();
  }
}

const readyTimeoutMs = 60_000;

export async function startReplica(options: {
  name: string;
  postgresUrl: () => string;
  redisUrl: () => string;
  apiKey: string;
  settings: Record<string, string>;
  /** The tree whose program it is from its next start on; this one, if nothing else is said. */
  directory?: () => string;
}): Promise<Replica> {
  await using stack = new AsyncDisposableStack();
  const postgres = stack.use(await startProxy(options.postgresUrl));
  const redis = stack.use(await startProxy(options.redisUrl));
  const { port } = stack.use(await holdPort());
  const { port: grpcPort } = stack.use(await holdPort());
  const settings = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    PORT: String(port),
    GRPC_PORT: String(grpcPort),
    LOG_LEVEL: "warn",
    CALLSHEET_BOOTSTRAP_API_KEY: options.apiKey,
    ...options.settings,
  };
  const httpUrl = `http://127.0.0.1:${port}`;
  const grpcUrl = `http://127.0.0.1:${grpcPort}`;
  let program: ReturnType<typeof startProgram> | undefined;
  let isUp = false;
  let logged = "";
  stack.defer(async () => {
    await program?.[Symbol.asyncDispose]();
  });

  function pid(): number {
    const found = program?.child.pid;
    if (found === undefined) throw new Error(`${options.name} does not run`);
    return found;
  }

  async function end(signal: NodeJS.Signals) {
    if (program === undefined) throw new Error(`${options.name} does not run`);
    isUp = signal === "SIGTERM";
    const began = performance.now();
    program.child.kill(signal);
    const { exitCode, stderr } = await program.ended;
    isUp = false;
    program = undefined;
    logged += stderr;
    return { exitCode, ms: performance.now() - began };
  }

  /** As a supervisor does: a start that fails, because a server is not there yet, is followed by another. */
  async function start(): Promise<void> {
    for (const began = performance.now(); ;) {
      const starting = startProgram("src/main.ts", settings, options.directory?.());
      program = starting;
      const untilReady = eventually(() => {
        if (!starting.said.stdout.includes("callsheet ready")) throw new Error("not ready");
        return true;
      }, readyTimeoutMs).catch(() => false);
      const isReady = await Promise.race([untilReady, starting.ended.then(() => false)]);
      if (isReady) {
        isUp = program === starting;
        return;
      }
      await starting[Symbol.asyncDispose]();
      logged += starting.said.stderr;
      if (performance.now() - began > readyTimeoutMs)
        throw new Error(`${options.name} does not start: ${logged}`);
    }
  }

  await start();
  const running = stack.move();
  return {
    name: options.name,
    postgres,
    redis,
    httpUrl,
    grpcUrl,
    clients: createClients(grpcUrl, options.apiKey),
    start,
    kill: async () => void (await end("SIGKILL")),
    stop: () => end("SIGTERM"),
    freeze: () => sendSignal(pid(), "SIGSTOP"),
    thaw: () => sendSignal(pid(), "SIGCONT"),
    isUp: () => isUp,
    log: () => logged + (program?.said.stderr ?? ""),
    async metric(name) {
      const response = await fetch(`${httpUrl}/metrics`, { signal: AbortSignal.timeout(2_000) });
      const found = new RegExp(`^${name} (\\S+)$`, "m").exec(await response.text());
      return Number(found?.[1] ?? 0);
    },
    async usage() {
      const status = await readFile(`/proc/${pid()}/status`, "utf8");
      const files = await readdir(`/proc/${pid()}/fd`);
      return {
        megabytes: Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024),
        handles: files.length,
      };
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
