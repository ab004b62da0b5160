import { Cluster } from "ioredis";
import { type RedisClient, mastersOf, redisStep } from "./connection.ts";

/** Whether a server may carry our keys. If not, or if it does not tell, one sentence says what would be right. */
export type Fitness =
  { readonly verdict: "fit" } | { readonly verdict: "unfit" | "untold"; readonly sentence: string };

const oldestVersion = 7;

const fit: Fitness = { verdict: "fit" };
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
  const policy = field("maxmemory_policy");
  if (policy === undefined) {
    return untold("Redis does not tell its maxmemory-policy; make sure that it is noeviction.");
  }
  if (policy !== "noeviction") {
    return unfit(`Redis evicts keys (maxmemory-policy ${policy}); set maxmemory-policy to noeviction.`);
  }
  return fit;
}

/** What a refused connection or command tells; undefined if it only tells that Redis is away. */
export function judgeError(error: Error): Fitness | undefined {
  // A client for a cluster hides behind its own error what the node that it asked last has said.
  const { message } =
    "lastNodeError" in error && error.lastNodeError instanceof Error ? error.lastNodeError : error;
  if (/cluster support disabled/.test(message)) {
    return unfit("REDIS_URL names several servers that are no Redis Cluster; it must name one server.");
  }
  if (/\b(WRONGPASS|NOAUTH)\b/.test(message)) {
    return unfit("Redis refuses the user and password of REDIS_URL; it must hold those of a Redis user.");
  }
  if (/\bNOPERM\b/.test(message)) {
    return untold(
      `Redis does not let its user read INFO; make sure that it is Redis ${oldestVersion} or newer with maxmemory-policy noeviction.`,
    );
  }
  return undefined;
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
        const judged = error instanceof Error ? judgeError(error) : undefined;
        if (judged === undefined) throw error;
        return judged;
      }
    }),
  );
  const worst = (["unfit", "untold"] as const).map((verdict) => found.find((one) => one.verdict === verdict));
  return worst.find((one) => one !== undefined) ?? (await checkCoverage(redis));
}

/** A cluster of which a part of the slots has no master takes no commands at all. */
async function checkCoverage(redis: RedisClient): Promise<Fitness> {
  if (!(redis instanceof Cluster)) return fit;
  const info = await redisStep("reading the cluster's state", () => redis.cluster("INFO"));
  if (!info.includes("cluster_state:ok")) throw new Error("a part of the Redis Cluster has no master");
  return fit;
}
