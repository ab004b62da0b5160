import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { openRedis, type RedisClient } from "../../src/redis/connection.ts";
import { eventually } from "../support/eventually.ts";
import { startProxy } from "../support/servers/proxy.ts";

let redis: RedisClient;
beforeAll(async () => {
  redis = openRedis(inject("redisUrl"));
  await eventually(() => redis.ping());
});
afterAll(() => redis.disconnect());

/** Keeps this process from everything for so long. */
function standStill(ms: number): void {
  for (const untilMs = performance.now() + ms; performance.now() < untilMs;);
}

test("a process that stood still for longer than Redis may take reads its answers", async () => {
  const answers = Array.from({ length: 10 }, (_, i) => redis.echo(`${i}`));
  // They are sent; their answers come while nobody reads.
  await new Promise((resolve) => setImmediate(resolve));
  standStill(6_500);
  expect(await Promise.all(answers)).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`));
});

test("a Redis that says nothing fails each command, and is connected to anew", async () => {
  await using proxy = await startProxy(inject("redisUrl"));
  const client = openRedis(proxy.url);
  await eventually(() => client.ping());
  proxy.freeze();
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  await expect(client.ping()).rejects.toThrow("Command timed out");
  await expect(client.ping()).rejects.toThrow("Command timed out");
  await closed;
  client.disconnect();
});
