import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { jittered, startLoop } from "./loop.ts";
import type { Metrics } from "./metrics.ts";
import type { RedisClient } from "./redis/connection.ts";
import { type Fitness, checkFitness, judgeError } from "./redis/fitness.ts";

/** How long a start waits for Redis: the service works without it, only late. */
const patienceMs = 3_000;
const pauseMs = 2_000;

type Finding = Fitness | { readonly verdict: "away"; readonly reason: string };

/**
 * Looks every other second whether Redis is there and fit for use, which is a metric and, when it changes, a line in the
 * log. To look at a master is also what connects to it: while its first command makes the connection, a cluster's client
 * refuses others. A server that is unfit at the start is refused; one that becomes so later, or comes later, is complained about
 * and used all the same, because nothing that it loses is lost.
 */
export async function startRedisWatch(deps: {
  redis: RedisClient;
  metrics: Metrics;
  logger: Logger;
}): Promise<AsyncDisposable> {
  const { redis, metrics, logger } = deps;
  let connectionError: Error | undefined;
  redis.on("error", (error) => (connectionError = error));

  async function look(): Promise<Finding> {
    try {
      const fitness = await checkFitness(redis);
      connectionError = undefined;
      return fitness;
    } catch (error) {
      const judged = connectionError && judgeError(connectionError);
      const reason = connectionError ?? error;
      return judged ?? { verdict: "away", reason: reason instanceof Error ? reason.message : String(reason) };
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
      if (finding.verdict !== "away" || performance.now() > deadline) return finding;
    }
  }

  let last = await firstLook();
  if (last.verdict === "unfit") throw new Error(last.sentence);
  if (last.verdict !== "fit") tell(last);
  metrics.redisUp.set(last.verdict === "away" ? 0 : 1);

  return startLoop(async () => {
    const finding = await look();
    if (finding.verdict !== last.verdict) tell(finding);
    last = finding;
    metrics.redisUp.set(finding.verdict === "away" ? 0 : 1);
    return jittered(pauseMs);
  });
}
