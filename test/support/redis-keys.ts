import { Cluster } from "ioredis";
import { type RedisClient, mastersOf } from "../../src/redis/connection.ts";

/** The names of all keys under a prefix, wherever they are. */
export async function keysUnder(redis: RedisClient, prefix: string): Promise<string[]> {
  const names = await Promise.all(mastersOf(redis).map((master) => master.keys(`${prefix}:*`)));
  return names.flat();
}

/** One by one, because they may be in different places. */
export async function removeKeysUnder(redis: RedisClient, prefix: string): Promise<void> {
  for (const name of await keysUnder(redis, prefix)) await redis.unlink(name);
}

/** How many connections are subscribed to a channel, on all servers together. */
export async function subscribersOf(redis: RedisClient, channel: string): Promise<number> {
  const counts = await Promise.all(
    (redis instanceof Cluster ? redis.nodes("all") : [redis]).map((node) => node.pubsub("NUMSUB", channel)),
  );
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}
