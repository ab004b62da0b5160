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

/** Opens a client for one server, or for a cluster if several nodes are named, separated by commas. */
export function openRedis(url: string): RedisClient {
  const nodes = url.split(",").map((node) => node.trim());
  const client = nodes.length === 1 ? new Redis(url, options) : openCluster(nodes);
  // Every command reports its own failure; whether Redis is there is a metric.
  client.on("error", () => {});
  return client;
}

function openCluster(nodes: readonly string[]): Cluster {
  const [first = ""] = nodes;
  const { protocol, username, password } = new URL(first);
  return new Cluster([...nodes], {
    redisOptions: {
      ...options,
      // The nodes that the cluster tells of are spoken to like the first one that was named.
      ...(username === "" ? {} : { username: decodeURIComponent(username) }),
      ...(password === "" ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === "rediss:" ? { tls: {} } : {}),
    },
    enableOfflineQueue: false,
    clusterRetryStrategy: backoff,
    // 0 is never: a command that was under way when its connection broke is not sent again. The next one for its slot
    // asks another node, and so hears who has the slot now.
    retryDelayOnFailover: 0,
    slotsRefreshInterval: 5_000,
  });
}

/** The servers that hold the keys and take writes: the one server, or each master of a cluster. */
export const mastersOf = (redis: RedisClient): readonly Redis[] =>
  redis instanceof Cluster ? redis.nodes("master") : [redis];

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
