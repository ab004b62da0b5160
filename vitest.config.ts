import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/support/servers.ts"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Two files at a time: the servers need the rest of a small machine.
    maxWorkers: 2,
  },
});
