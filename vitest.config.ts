import { defineConfig } from "vitest/config";

/** What takes long: on a cluster only in `npm run test:cluster`. */
const long = ["test/races/*.test.ts", "test/leasing/{many-workers,property}.test.ts"];

/** Real processes that are harmed; they wait most of the time, and must not wait for a processor. */
const faults = "test/faults/!(oracle).test.ts";
/** Minutes long: only in `npm run test:faults`. */
const longFaults = process.env["FAULTS"] === "full" ? [] : ["test/faults/network.test.ts"];

const limits = { testTimeout: 30_000, hookTimeout: 30_000 };

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          ...limits,
          name: "one Redis",
          include: ["test/**/*.test.ts"],
          exclude: [faults],
          // Two files at a time: the servers need the rest of a small machine.
          maxWorkers: 2,
          globalSetup: ["test/support/servers.ts"],
        },
      },
      {
        // What touches Redis in any other way than through the commands, once more on a Redis Cluster.
        test: {
          ...limits,
          name: "Redis Cluster",
          include: [
            "test/redis/{schedule,contact-list}.test.ts",
            "test/scheduler*.test.ts",
            "test/fan-out.test.ts",
            "test/races/*.test.ts",
            "test/sweep/*.test.ts",
            "test/leasing/*.test.ts",
            "test/story.test.ts",
          ],
          exclude: process.env["CLUSTER_TESTS"] === "all" ? [] : long,
          maxWorkers: 2,
          globalSetup: ["test/support/cluster-servers.ts"],
        },
      },
      {
        test: {
          ...limits,
          name: "faults",
          include: [faults],
          exclude: longFaults,
          maxWorkers: 3,
          // When the others are done.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
