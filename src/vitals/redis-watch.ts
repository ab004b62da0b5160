import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "./loops.ts";
import type { Metrics } from "./metrics.ts";
import { whyAway } from "../redis/away.ts";
import type { RedisClient } from "../redis/connection.ts";
import { type Fitness, checkFitness, judgeError } from "../redis/fitness.ts";
import type { Keys } from "../redis/keys.ts";
import { createProbe } from "../redis/probe.ts";

/** How long a start waits for Redis: the service works without it, only late. */
const patienceMs = 3_000;
const pauseMs = 2_000;

type Finding = Fitness | { readonly verdict: "away"; readonly reason: string };

/**
 * Looks every other second whether Redis is there, can be used and is fit for use, which are metrics and, when it
 * changes, a line in the log. To look at a master is also what connects to it: while its first command makes the
 * connection, a cluster's client refuses others. A server that is unusable or unfit at the start is refused; one that
 * becomes so later, or comes later, is complained about and used as far as it goes, because nothing that it loses is
 * lost.
 */
export async function startRedisWatch(deps: {
  redis: RedisClient;
  subscriber: RedisClient;
  keys: Keys;
  installationId: string;
  metrics: Metrics;
  logger: Logger;
}): Promise<AsyncDisposable> {
  const { redis, subscriber, keys, installationId, metrics, logger } = deps;
  let connectionError: Error | undefined;
  /** What Redis has said against its use since it was last used: a connection that is refused tells it in between. */
  let refusal: Fitness | undefined;
  redis.on("error", (error) => {
    connectionError = error;
    refusal = judgeError(error, keys) ?? refusal;
  });
  const probe = createProbe(redis, keys);
  let hasSubscribed = false;

  /** Throws if it cannot, but not for a connection that breaks later: signals may be lost. */
  async function trySubscribing(): Promise<void> {
    try {
      await subscriber.subscribe(keys.nobody);
      hasSubscribed = true;
    } catch (error) {
      if (!hasSubscribed || judgeError(error, keys) !== undefined) throw error;
    }
  }

  async function look(): Promise<Finding> {
    try {
      const fitness = await checkFitness(redis);
      if (fitness.verdict === "unfit" || fitness.verdict === "unusable") return fitness;
      await probe.tryOut();
      await trySubscribing();
      connectionError = undefined;
      refusal = undefined;
      const owner = await probe.claimPrefix(installationId);
      return owner === installationId ? fitness : { verdict: "unfit", sentence: sharedWith(owner, keys) };
    } catch (error) {
      refusal = judgeError(error, keys) ?? refusal;
      return refusal ?? { verdict: "away", reason: whyAway(redis, connectionError ?? error) };
    }
  }

  function tell(finding: Finding): void {
    switch (finding.verdict) {
      case "away":
        logger.error(
          { reason: finding.reason },
          "Redis does not answer; jobs start and contacts are listed once it does",
        );
        return;
      case "unusable":
      case "unfit":
        logger.error(finding.sentence);
        return;
      case "untold":
        logger.warn(finding.sentence);
        return;
      case "fit":
        logger.info("Redis answers and is fit for use");
    }
  }

  async function firstLook(): Promise<Finding> {
    for (const deadline = performance.now() + patienceMs; ; await delay(20)) {
      const finding = await look();
      // A standby that takes over refuses writes for a moment.
      const mayPass = finding.verdict === "away" || finding.verdict === "unusable";
      if (!mayPass || performance.now() > deadline) return finding;
    }
  }

  let last = await firstLook();
  if (last.verdict === "unusable" || last.verdict === "unfit") throw new Error(last.sentence);
  if (last.verdict !== "fit") tell(last);
  measure(metrics, last);

  return startServiceLoop("the watch over Redis", {
    async pass() {
      const finding = await look();
      if (finding.verdict !== last.verdict || sentenceOf(finding) !== sentenceOf(last)) tell(finding);
      last = finding;
      measure(metrics, finding);
      return jittered(pauseMs);
    },
    retryMs: pauseMs,
    logger,
  });
}

const sentenceOf = (finding: Finding) => ("sentence" in finding ? finding.sentence : "");

function measure(metrics: Metrics, { verdict }: Finding): void {
  metrics.redisUp.set(verdict === "away" || verdict === "unusable" ? 0 : 1);
  metrics.redisFit.set(verdict === "unfit" || verdict === "unusable" ? 0 : 1);
}

const sharedWith = (owner: string, { prefix, installation }: Keys): string =>
  `In this Redis the keys that start with ${prefix}: are another database's (installation ${owner}); choose another REDIS_PREFIX or another database number in REDIS_URL, or, if that installation is gone, delete the key ${installation} in Redis.`;
