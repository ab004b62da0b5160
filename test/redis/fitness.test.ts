import { describe, expect, test } from "vitest";
import { judgeInfo } from "../../src/redis/fitness.ts";

const info = (fields: Record<string, string>) =>
  ["# Server", ...Object.entries(fields).map(([name, value]) => `${name}:${value}`), ""].join("\r\n");

const good = { redis_version: "7.0.15", redis_mode: "standalone", maxmemory_policy: "noeviction" };

describe("fit are", () => {
  test.each([
    ["Redis 7.0", "one server", {}],
    ["Redis 8.10", "one server", { redis_version: "8.10.0" }],
    ["Valkey 7.2", "one server", { redis_version: "7.2.4", server_name: "valkey", valkey_version: "7.2.11" }],
    ["Valkey 9", "one server", { redis_version: "7.2.4", server_name: "valkey", valkey_version: "9.0.1" }],
    ["a node of a cluster", "a cluster", { redis_mode: "cluster" }],
  ] as const)("%s named as %s", (_, isNamedAs, fields) => {
    expect(judgeInfo(info({ ...good, ...fields }), isNamedAs)).toEqual({ verdict: "fit" });
  });
});

describe("unfit are, in a sentence that says what would be right", () => {
  test.each([
    ["Redis 6", { redis_version: "6.2.19" }, /^Redis 6\.2\.19 is too old; .* Redis 7 or newer, or Valkey\.$/],
    ["Redis 5", { redis_version: "5.0.14" }, /^Redis 5\.0\.14 is too old/],
    ["KeyDB 6", { redis_version: "6.3.4" }, /^Redis 6\.3\.4 is too old/],
    ["a node of a cluster", { redis_mode: "cluster" }, /^REDIS_URL names one node .* separated by commas\.$/],
    ...["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"].map(
      (policy) =>
        [
          `maxmemory-policy ${policy}`,
          { maxmemory_policy: policy },
          new RegExp(
            `^Redis evicts keys \\(maxmemory-policy ${policy}\\); set maxmemory-policy to noeviction\\.$`,
          ),
        ] as const,
    ),
  ] as const)("%s", (_, fields, sentence) => {
    expect(judgeInfo(info({ ...good, ...fields }), "one server")).toEqual({
      verdict: "unfit",
      sentence: expect.stringMatching(sentence),
    });
  });
});

test.each([
  ["keeps its maxmemory-policy to itself", info({ redis_version: "7.4.0", redis_mode: "standalone" })],
  ["tells nothing", ""],
])("a server that %s is not judged", (_, told) => {
  expect(judgeInfo(told, "one server")).toEqual({
    verdict: "untold",
    sentence: expect.stringMatching(/make sure that it is noeviction\.$/),
  });
});
