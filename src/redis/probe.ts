import { Cluster } from "ioredis";
import { type RedisClient, mastersOf, redisStep, runScript } from "./connection.ts";
import type { Keys } from "./keys.ts";
import { script } from "./script.ts";

const tryAll = script(`
-- Runs every command that scripts run, on keys that are there for nothing else, and leaves nothing behind.
--   KEYS[1] string   KEYS[2] list   KEYS[3] sorted set   ARGV[1] channel
-- Returns 1, or the first refusal with the name of the command, which some versions of Redis keep to themselves
local refusal
local function try(command, ...)
  local reply = not refusal and redis.pcall(command, ...)
  if type(reply) == "table" and reply.err then refusal = command .. " refused: " .. reply.err end
end
try("SET", KEYS[1], "1", "PX", 60000)
try("GET", KEYS[1])
try("EXISTS", KEYS[1])
try("RPUSH", KEYS[2], "1")
try("LPUSH", KEYS[2], "2")
try("LPOP", KEYS[2], 1)
try("LLEN", KEYS[2])
try("PEXPIRE", KEYS[2], 60000)
try("PTTL", KEYS[2])
try("ZADD", KEYS[3], 1, "1", 2, "2")
try("ZREM", KEYS[3], "2")
try("ZRANGE", KEYS[3], 0, 0)
try("ZRANK", KEYS[3], "1")
try("ZMSCORE", KEYS[3], "1")
try("ZREMRANGEBYSCORE", KEYS[3], "-inf", 0)
try("ZREMRANGEBYRANK", KEYS[3], 0, -2)
try("ZCARD", KEYS[3])
try("PUBLISH", ARGV[1], "")
try("UNLINK", KEYS[1], KEYS[2], KEYS[3])
return refusal and redis.error_reply(refusal) or 1
`);

const mostTags = 1_000;

/** Hash tags whose keys lie on different servers, one for each master that has slots. */
async function tagsOf(redis: RedisClient, slots: Map<string, number>): Promise<string[]> {
  if (!(redis instanceof Cluster)) return ["probe"];
  const tags = new Map<string, string>();
  for (let i = 0; i < mostTags && tags.size < redis.nodes("master").length; i += 1) {
    const tag = `probe-${i}`;
    const slot = slots.get(tag) ?? (await redis.cluster("KEYSLOT", tag));
    slots.set(tag, slot);
    const [master] = redis.slots[slot] ?? [];
    if (master !== undefined && !tags.has(master)) tags.set(master, tag);
  }
  return [...tags.values()];
}

export function createProbe(redis: RedisClient, keys: Keys) {
  /** The slots of tags, which never change. */
  const slots = new Map<string, number>();
  return {
    /**
     * Does with Redis once all that the service does with it, on every master. Throws what Redis refuses; whoever
     * answers questions about itself may still refuse a script, a key, a channel, or every write.
     */
    async tryOut(): Promise<void> {
      await redisStep("trying Redis", async () => {
        for (const tag of await tagsOf(redis, slots)) {
          await runScript(redis, tryAll, keys.probe(tag), [keys.nobody]);
        }
        await redis.zmscore(keys.due, "");
        await redis.zscan(keys.due, "0", "COUNT", 1);
        await redis.publish(keys.nobody, "");
        await Promise.all(mastersOf(redis).map((master) => master.scan("0", "COUNT", 1)));
      });
    },

    /** The id of the installation whose keys stand under the prefix; that becomes this one if there is none. */
    async claimPrefix(installationId: string): Promise<string> {
      return await redisStep(
        "claiming the prefix",
        async () => (await redis.set(keys.installation, installationId, "NX", "GET")) ?? installationId,
      );
    },
  };
}
