import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** What takes long: on a cluster only in `npm run test:cluster`. */
const long = ["test/races/*.test.ts", "test/leasing/{leasing,long-poll,many-workers,property}.test.ts"];

/** Real processes that are harmed, or replaced; they wait most of the time, and must not wait for a processor. */
const faults = ["test/faults/!(oracle|soak).test.ts", "test/upgrade/rolling.test.ts"];
const soak = "test/faults/soak.test.ts";
/** Minutes long: only in `npm run test:faults`. */
const longFaults = process.env["FAULTS"] === "full" ? [] : ["test/faults/network.test.ts"];

/** What asks for a role without rights. */
const onlyOrdinary = "test/postgres/ordinary-role.test.ts";

/** What takes longest is begun first, so that nothing is left to wait for when the others are done. */
const order = [
  /\/soak\.test/,
  /\/redis-lost\.test/,
  /\/postgres-(failover|behind)\.test/,
  /\/postgres-lost\.test/,
  /\/replica-kills\.test/,
  /\/rolling\.test/,
  /\/frozen\.test/,
  /./,
];

const rank = ({ moduleId }: TestSpecification) => order.findIndex((pattern) => pattern.test(moduleId));

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    // oxlint-disable-next-line unicorn/no-array-sort -- it is no array's
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

/** Many small files, which share their processes: every process of its own would load all modules anew. */
const many = { maxWorkers: 3, isolate: false };

const limits = { testTimeout: 30_000, hookTimeout: 30_000 };

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...limits,
          name: "one Redis",
          include: ["test/**/*.test.ts"],
          exclude: [...faults, soak, onlyOrdinary],
          ...many,
          globalSetup: ["test/support/servers/servers.ts"],
        },
      },
      {
        // What touches Redis in any other way than through the commands, once more on a Redis Cluster.
        test: {
          ...limits,
          name: "Redis Cluster",
          include: [
            "test/redis/{schedule,contact-list,rates,askers}.test.ts",
            "test/starting/scheduler*.test.ts",
            "test/starting/fan-out.test.ts",
            "test/races/*.test.ts",
            "test/starting/sweep/*.test.ts",
            "test/leasing/*.test.ts",
            "test/doctor/checks.test.ts",
            "test/story.test.ts",
          ],
          exclude: process.env["CLUSTER_TESTS"] === "all" ? [] : long,
          ...many,
          globalSetup: ["test/support/servers/cluster-servers.ts"],
        },
      },
      {
        // The main paths once more on the oldest Postgres that will do, as a role that owns a schema and no more.
        test: {
          ...limits,
          name: "Postgres 15",
          include: [
            "test/postgres/{ordinary-role,leases,adding}.test.ts",
            "test/starting/sweep/{lists,postgres-behind}.test.ts",
            "test/leasing/leasing.test.ts",
            "test/jobs/import/files.test.ts",
            "test/story.test.ts",
          ],
          ...many,
          globalSetup: ["test/support/servers/postgres-15.ts"],
        },
      },
      { test: { ...limits, name: "soak", include: [soak], maxWorkers: many.maxWorkers } },
      {
        test: {
          ...limits,
          name: "faults",
          include: faults,
          exclude: longFaults,
          maxWorkers: 4,
          // When the others are done.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
