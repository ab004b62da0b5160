import { Cluster, Redis, type RedisOptions } from "ioredis";

export type RedisClient = Redis | Cluster;

/** A Redis command that failed. Its message holds no arguments of the command, whatever the client's error held. */
export class RedisError extends Error {
  override readonly name = "RedisError";
}

const backoff = (attempt: number): number => Math.min(50 * 2 ** attempt, 1_000);

const options = {
  connectionName: "callsheet",
  // A command goes out now or fails now: what it would have done is repaired from Postgres.
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: null,
  connectTimeout: 1_500,
  commandTimeout: 1_000,
  socketTimeout: 5_000,
  retryStrategy: backoff,
  // A demoted or loading server answers errors on a healthy connection; a new connection finds its successor.
  reconnectOnError: (error: Error) => /^(READONLY|LOADING|MASTERDOWN)/.test(error.message),
} satisfies RedisOptions;

/** Opens a client for one server, or for a cluster if several are named, separated by commas. */
export function openRedis(url: string): RedisClient {
  const nodes = url.split(",").map((node) => node.trim());
  const client =
    nodes.length === 1
      ? new Redis(url, options)
      : new Cluster(nodes, {
          redisOptions: options,
          enableOfflineQueue: false,
          clusterRetryStrategy: backoff,
        });
  // Every command reports its own failure; the readiness of the connection is a metric.
  client.on("error", () => {});
  return client;
}

/** Runs a Redis command; what it throws says which step failed and carries no arguments. */
export async function redisStep<T>(step: string, command: () => Promise<T>): Promise<T> {
  try {
    return await command();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new RedisError(`${step}: ${message.replace(/, with args beginning with:.*/s, "")}`);
  }
}

export type Script = { readonly lua: string; readonly sha: string };

/** Runs a script, loading it first where the server does not have it (any more). */
export async function runScript(
  redis: RedisClient,
  script: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(script.sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error) || !error.message.startsWith("NOSCRIPT")) throw error;
    return await redis.eval(script.lua, keys.length, ...keys, ...args);
  }
}

/** Refuses a server that could lose keys by itself, or that is too old. */
export async function checkRedis(redis: RedisClient): Promise<void> {
  const info = await redisStep("reading the server's settings", () => redis.info());
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const policy = field("maxmemory_policy");
  if (policy !== "noeviction") {
    throw new Error(`Redis evicts keys (maxmemory-policy ${policy}); set maxmemory-policy to noeviction.`);
  }
  const version = field("valkey_version") ?? field("redis_version") ?? "0";
  if (Number.parseInt(version, 10) < 7) {
    throw new Error(`Redis ${version} is too old; REDIS_URL must name Redis 7 or newer, or Valkey.`);
  }
}
