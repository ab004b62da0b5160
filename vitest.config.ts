import { defineConfig } from "vitest/config";

/** What takes long: on a cluster only in `npm run test:cluster`. */
const long = ["test/races/*.test.ts", "test/leasing/{many-workers,property}.test.ts"];

const limits = { testTimeout: 30_000, hookTimeout: 30_000 };

export default defineConfig({
  test: {
    // Two files at a time: the servers need the rest of a small machine.
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...limits,
          name: "one Redis",
          include: ["test/**/*.test.ts"],
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
          globalSetup: ["test/support/cluster-servers.ts"],
        },
      },
    ],
  },
});
