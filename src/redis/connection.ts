import { Cluster, Redis, type RedisOptions } from "ioredis";
import { type SentinelAddress, readSentinelUrl } from "../domain/server-url.ts";
import { makePatient } from "./patient.ts";
import type { Tls } from "./tls.ts";

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
  // For what a cluster's client keeps to itself; makePatient() puts better ones in their place.
  commandTimeout: 1_000,
  socketTimeout: 5_000,
  retryStrategy: backoff,
  // A demoted or loading server answers errors on a healthy connection; a new connection finds its successor.
  reconnectOnError: (error: Error) => /^(READONLY|LOADING|MASTERDOWN)|refused: READONLY/.test(error.message),
} satisfies RedisOptions;

/**
 * Opens a client for one server, for a cluster if several nodes are named, separated by commas, or for the master of
 * Sentinels.
 */
export function openRedis(url: string, tls: Tls = {}): RedisClient {
  const client = openClient(url, tls);
  // Every command reports its own failure; whether Redis is there is a metric.
  client.on("error", (error) => {
    // The client would go on with database 0.
    if (isWrongDatabase(error)) client.disconnect(true);
  });
  return client;
}

function openClient(url: string, tls: Tls): RedisClient {
  const address = readSentinelUrl(url);
  if (address !== undefined) return makePatient(new Redis(sentinelOptions(address, tls)));
  const nodes = url.split(",").map((node) => node.trim());
  for (const node of nodes)
    checkDatabaseNumber(new URL(node), nodes.length === 1 ? "one server" : "a cluster");
  if (nodes.length > 1) return openCluster(nodes, tls);
  const secured = { ...options, ...(url.startsWith("rediss:") ? { tls } : {}) };
  return makePatient(new Redis(url, secured));
}

/** Each connection is to whom the Sentinels call the master then; they end those to one that is so no longer. */
function sentinelOptions(address: SentinelAddress, tls: Tls) {
  const { sentinels, name, db, isTls, master, sentinel } = address;
  return {
    ...options,
    sentinels: [...sentinels],
    name,
    db,
    ...master,
    ...(sentinel.username === undefined ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel.password === undefined ? {} : { sentinelPassword: sentinel.password }),
    ...(isTls ? { tls, sentinelTLS: tls, enableTLSForSentinelMode: true } : {}),
    sentinelCommandTimeout: 1_000,
    sentinelRetryStrategy: backoff,
  } satisfies RedisOptions;
}

/** True for the answer to a choice of a database that is not there. */
export const isWrongDatabase = (error: unknown): boolean =>
  error instanceof Error &&
  "command" in error &&
  typeof error.command === "object" &&
  error.command !== null &&
  "name" in error.command &&
  error.command.name === "select";

function checkDatabaseNumber({ pathname, searchParams }: URL, isNamedAs: "one server" | "a cluster"): void {
  const database = pathname.slice(1) || (searchParams.get("db") ?? "");
  if (!/^\d*$/.test(database)) {
    throw new Error(
      "REDIS_URL must end with the number of a database after its slash, or with nothing, which is 0.",
    );
  }
  if (isNamedAs === "a cluster" && Number(database) !== 0) {
    throw new Error(
      `REDIS_URL names database ${database} of a Redis Cluster, which has only database 0; leave the number out.`,
    );
  }
}

function openCluster(nodes: readonly string[], tls: Tls): Cluster {
  const [first = ""] = nodes;
  const { protocol, username, password } = new URL(first);
  const cluster = new Cluster([...nodes], {
    redisOptions: {
      ...options,
      // The nodes that the cluster tells of are spoken to like the first one that was named.
      ...(username === "" ? {} : { username: decodeURIComponent(username) }),
      ...(password === "" ? {} : { password: decodeURIComponent(password) }),
      ...(protocol === "rediss:" ? { tls } : {}),
    },
    enableOfflineQueue: false,
    clusterRetryStrategy: backoff,
    // 0 is never: a command that was under way when its connection broke is not sent again. The next one for its slot
    // asks another node, and so hears who has the slot now.
    retryDelayOnFailover: 0,
    slotsRefreshInterval: 5_000,
  });
  cluster.on("+node", makePatient);
  return cluster;
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
