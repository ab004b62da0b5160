import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes long: on a cluster only in `npm run test:cluster`. */
const long = ["test/races/*.test.ts", "test/leasing/{many-workers,property}.test.ts"];

/** Real processes that are harmed; they wait most of the time, and must not wait for a processor. */
const faults = "test/faults/!(oracle|soak).test.ts";
const soak = "test/faults/soak.test.ts";
/** Minutes long: only in `npm run test:faults`. */
const longFaults = process.env["FAULTS"] === "full" ? [] : ["test/faults/network.test.ts"];

const isSoak = ({ moduleId }: TestSpecification) => moduleId.endsWith("/soak.test.ts");

/** The soak takes as long as many of the others together, which run meanwhile. */
class SoakFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array's
    const sorted = await super.sort(files);
    return [...sorted.filter(isSoak), ...sorted.filter((file) => !isSoak(file))];
  }
}

/** Many small files, which share their processes: every process of its own would load all modules anew. */
const many = { maxWorkers: 3, isolate: false };

const limits = { testTimeout: 30_000, hookTimeout: 30_000 };

export default defineConfig({
  test: {
    sequence: { sequencer: SoakFirst },
    projects: [
      {
        test: {
          ...limits,
          name: "one Redis",
          include: ["test/**/*.test.ts"],
          exclude: [faults, soak],
          ...many,
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
          ...many,
          globalSetup: ["test/support/cluster-servers.ts"],
        },
      },
      { test: { ...limits, name: "soak", include: [soak], maxWorkers: many.maxWorkers } },
      {
        test: {
          ...limits,
          name: "faults",
          include: [faults],
          exclude: longFaults,
          maxWorkers: 4,
          // When the others are done.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
