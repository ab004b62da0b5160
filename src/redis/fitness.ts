import { Cluster } from "ioredis";
import { certificateFault } from "./away.ts";
import { type RedisClient, isWrongDatabase, mastersOf, redisStep } from "./connection.ts";
import type { Keys } from "./keys.ts";

/**
 * Whether a server may carry our keys, and can. If not, or if it does not tell, one sentence says what would be right.
 * One that is `unusable` does nothing for us; one that is `unfit` works, and should not be worked with.
 */
export type Fitness =
  | { readonly verdict: "fit" }
  | { readonly verdict: "unusable" | "unfit" | "untold"; readonly sentence: string };

const oldestVersion = 7;

const fit: Fitness = { verdict: "fit" };
const unusable = (sentence: string): Fitness => ({ verdict: "unusable", sentence });
const unfit = (sentence: string): Fitness => ({ verdict: "unfit", sentence });
const untold = (sentence: string): Fitness => ({ verdict: "untold", sentence });

/** What a server's INFO tells, given how REDIS_URL names it. Valkey tells which Redis it is compatible with. */
export function judgeInfo(info: string, isNamedAs: "one server" | "a cluster"): Fitness {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1];
  const version = field("redis_version");
  if (version !== undefined && Number.parseInt(version, 10) < oldestVersion) {
    return unfit(
      `Redis ${version} is too old; REDIS_URL must name Redis ${oldestVersion} or newer, or Valkey.`,
    );
  }
  if (field("redis_mode") === "cluster" && isNamedAs === "one server") {
    return unfit(
      "REDIS_URL names one node of a Redis Cluster; it must name several of its nodes, separated by commas.",
    );
  }
  if (field("redis_mode") === "sentinel") {
    return unusable(
      "REDIS_URL names a Sentinel; it must be redis+sentinel://HOST:PORT,HOST:PORT/NAME, with the name of the master.",
    );
  }
  const policy = field("maxmemory_policy");
  if (policy === undefined) {
    return untold("Redis does not tell its maxmemory-policy; make sure that it is noeviction.");
  }
  if (policy !== "noeviction") {
    return unfit(`Redis evicts keys (maxmemory-policy ${policy}); set maxmemory-policy to noeviction.`);
  }
  return fit;
}

const isForbidden = ({ message }: Error): boolean =>
  /\bNOPERM\b|\bACL failure\b|The user executing the script can't/.test(message);

/** What a refused connection or command tells; undefined if it only tells that Redis is away. */
export function judgeError(thrown: unknown, { prefix }: Keys): Fitness | undefined {
  if (!(thrown instanceof Error)) return undefined;
  // A client for a cluster hides behind its own error what the node that it asked last has said.
  const error =
    "lastNodeError" in thrown && thrown.lastNodeError instanceof Error ? thrown.lastNodeError : thrown;
  const { message } = error;
  const fault = certificateFault(error);
  if (fault !== undefined) return unusable(fault);
  if (/cluster support disabled/.test(message)) {
    return unusable("REDIS_URL names several servers that are no Redis Cluster; it must name one server.");
  }
  if (/^All sentinels are unreachable.*\b(WRONGPASS|NOAUTH)\b/.test(message)) {
    return unusable(
      "The Sentinels of REDIS_URL ask for a password of their own; it must end with ?sentinel_username=…&sentinel_password=….",
    );
  }
  if (/\b(WRONGPASS|NOAUTH)\b/.test(message)) {
    return unusable("Redis refuses the user and password of REDIS_URL; it must hold those of a Redis user.");
  }
  if (/\bREADONLY\b/.test(message)) {
    return unusable("REDIS_URL names a replica of Redis, which takes no writes; it must name the master.");
  }
  if (isWrongDatabase(error)) {
    return unusable(
      "Redis has no database of the number that REDIS_URL ends with; most have 0 to 15, and some only 0.",
    );
  }
  if (isForbidden(error)) {
    return unusable(
      `Redis does not let the user of REDIS_URL ${forbidden(message, prefix)}; it needs ~${prefix}:* &${prefix}:* +@read +@write +@scripting +@pubsub +@connection +info, and on a cluster +cluster.`,
    );
  }
  return undefined;
}

function forbidden(message: string, prefix: string): string {
  if (/\bchannels?\b/.test(message)) return `use channels that start with ${prefix}:`;
  if (/\bkeys?\b/.test(message)) return `use keys that start with ${prefix}:`;
  const command = /'([\w|-]+)' (?:sub)?command/.exec(message) ?? /([A-Z]+) refused:/.exec(message);
  return `run ${command?.[1]?.toUpperCase() ?? "a command"}`;
}

/** Asks the server, or each master of a cluster, and answers the worst that it finds. Throws if one does not answer. */
export async function checkFitness(redis: RedisClient): Promise<Fitness> {
  // Before it has read the cluster's slots, a client for a cluster knows none or some of the masters.
  if (redis instanceof Cluster && redis.status !== "ready") throw new Error("the Redis Cluster is not ready");
  const isNamedAs = redis instanceof Cluster ? "a cluster" : "one server";
  const masters = mastersOf(redis);
  const found = await Promise.all(
    masters.map(async (master) => {
      try {
        return judgeInfo(await redisStep("reading the server's settings", () => master.info()), isNamedAs);
      } catch (error) {
        if (!(error instanceof Error && isForbidden(error))) throw error;
        return untold(
          `Redis does not let its user read INFO; make sure that it is Redis ${oldestVersion} or newer with maxmemory-policy noeviction.`,
        );
      }
    }),
  );
  const worst = (["unusable", "unfit", "untold"] as const).map((verdict) =>
    found.find((one) => one.verdict === verdict),
  );
  return worst.find((one) => one !== undefined) ?? (await checkCoverage(redis));
}

/** A cluster of which a part of the slots has no master takes no commands at all. */
async function checkCoverage(redis: RedisClient): Promise<Fitness> {
  if (!(redis instanceof Cluster)) return fit;
  const info = await redisStep("reading the cluster's state", () => redis.cluster("INFO"));
  if (!info.includes("cluster_state:ok")) throw new Error("a part of the Redis Cluster has no master");
  return fit;
}
