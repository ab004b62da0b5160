import type { TestProject } from "vitest/node";
import { startRedisCluster } from "./redis-cluster.ts";
import { startServers } from "./servers.ts";

/** The servers of one run of the tests that are run on a Redis Cluster too. */
export const setup = (project: TestProject): Promise<() => Promise<void>> =>
  startServers(project, {
    // Slow to suspect a node: this machine is busy, and no test here is about a lost one.
    startRedis: () => startRedisCluster({ replicasEach: 0, nodeTimeoutMs: 15_000 }),
  });
