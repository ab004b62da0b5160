import { randomBytes } from "node:crypto";
import { Client } from "pg";
import { pino } from "pino";
import { afterAll, describe, expect, inject, test } from "vitest";
import { openDatabase } from "../src/postgres/connections/database.ts";
import { keepRedisPrefix } from "../src/postgres/schema/installation.ts";
import { type ServiceOptions, startService } from "../src/service.ts";
import { cloneDatabase } from "./support/database.ts";
import { eventually } from "./support/eventually.ts";
import { type RedisServer, startRedisServer } from "./support/servers/redis-servers.ts";
import { startRewritingProxy } from "./support/servers/rewriting-proxy.ts";

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const database = stack.use(await cloneDatabase());

const defaults = {
  databaseUrl: database.url,
  databasePoolSize: 6,
  redisUrl: inject("redisUrl"),
  redisPrefix: `test-${randomBytes(6).toString("hex")}`,
  host: "127.0.0.1",
  port: 0,
  grpcPort: 0,
  bootstrapApiKey: undefined,
  shutdownTimeoutMs: 5_000,
};

/** Starts a replica; answers what it logs. */
async function start(given: Partial<ServiceOptions>): Promise<AsyncDisposable & { logged: () => string }> {
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line) => void lines.push(line) });
  const service = await startService({ ...defaults, logger, ...given });
  return { logged: () => lines.join(""), [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() };
}

/** The sentence with which a replica does not start. */
async function complaint(given: Partial<ServiceOptions>): Promise<string> {
  try {
    await (await start(given))[Symbol.asyncDispose]();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("it has started");
}

async function query(text: string, url = database.url): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

describe("a replica does not start, and says in one sentence what would be right:", () => {
  test.each(["allkeys-lru", "volatile-ttl"])("Redis with maxmemory-policy %s", async (policy) => {
    await using redis = await startRedisServer({ "maxmemory-policy": policy });
    expect(await complaint({ redisUrl: redis.url })).toBe(
      `Redis evicts keys (maxmemory-policy ${policy}); set maxmemory-policy to noeviction.`,
    );
  });

  test("Redis 6", async () => {
    await using redis = await startRedisServer();
    const [, version = ""] = /^redis_version:(.*?)\r$/m.exec(await redis.admin.info()) ?? [];
    const old = version.replace(/^\d/, "6");
    await using proxy = await startRewritingProxy(
      redis.url,
      `redis_version:${version}`,
      `redis_version:${old}`,
    );
    expect(await complaint({ redisUrl: proxy.url })).toBe(
      `Redis ${old} is too old; REDIS_URL must name Redis 7 or newer, or Valkey.`,
    );
  });

  test("Redis with another password", async () => {
    await using redis = await startRedisServer({ requirepass: "right" });
    for (const url of [redis.url.replace("right", "wrong"), redis.url.replace(":right@", "")]) {
      expect(await complaint({ redisUrl: url })).toBe(
        "Redis refuses the user and password of REDIS_URL; it must hold those of a Redis user.",
      );
    }
  });

  test("one node of a Redis Cluster", async () => {
    await using redis = await startRedisServer({ "cluster-enabled": "yes" });
    expect(await complaint({ redisUrl: redis.url })).toBe(
      "REDIS_URL names one node of a Redis Cluster; it must name several of its nodes, separated by commas.",
    );
  });

  test("several servers that are no Redis Cluster", async () => {
    await using redis = await startRedisServer();
    expect(await complaint({ redisUrl: `${redis.url},${redis.url}` })).toBe(
      "REDIS_URL names several servers that are no Redis Cluster; it must name one server.",
    );
  });

  test("Postgres 14", async () => {
    const [row] = await query("show server_version_num");
    const version = String(Object.values(row ?? {})[0]);
    await using proxy = await startRewritingProxy(database.url, version, "140022");
    expect(await complaint({ databaseUrl: proxy.url })).toBe(
      "Postgres 14 is too old; DATABASE_URL must name Postgres 15 or newer.",
    );
  });

  test("a schema that has lost what this version uses", async () => {
    await using newer = await cloneDatabase();
    await query("insert into schema_migrations values ('9999-of-the-future', now()::text)", newer.url);
    await query("create table if not exists schema_contractions (name text, needs text)", newer.url);
    await query(
      "insert into schema_contractions values ('9999-of-the-future', '9998-of-tomorrow')",
      newer.url,
    );
    expect(await complaint({ databaseUrl: newer.url })).toMatch(
      /^The schema of the database \(9999-of-the-future\) has lost what this version of Callsheet, which knows \d{4}-[a-z-]+, uses; start one that knows 9998-of-tomorrow, or a newer one\.$/,
    );
  });

  test("another REDIS_PREFIX than the one that the database's first replica had", async () => {
    await using fresh = await cloneDatabase();
    const replica = { databaseUrl: fresh.url, redisPrefix: "test-one" };
    await (await start(replica))[Symbol.asyncDispose]();
    expect(await complaint({ ...replica, redisPrefix: "test-two" })).toBe(
      "REDIS_PREFIX is test-two, but the replicas of this database use test-one; it must be test-one here too.",
    );
    await (await start(replica))[Symbol.asyncDispose]();

    await query("delete from installation", fresh.url);
    await (await start({ ...replica, redisPrefix: "test-two" }))[Symbol.asyncDispose]();
    expect(await complaint(replica)).toMatch(/must be test-two here too\.$/);
  });
});

test("of replicas with different prefixes that start at once, those of one prefix start", async () => {
  await using fresh = await cloneDatabase();
  const db = openDatabase({ url: fresh.url, poolSize: 10 });
  const prefixes = ["a", "b", "a", "b", "a", "b"];
  const results = await Promise.allSettled(prefixes.map((prefix) => keepRedisPrefix(db, prefix)));
  await db.destroy();
  const of = (status: string) => new Set(prefixes.filter((_, i) => results[i]?.status === status));
  expect([of("fulfilled").size, of("rejected").size]).toEqual([1, 1]);
});

/** A URL whose user may do anything but what is forbidden. */
async function limited(redis: RedisServer, forbidden: string): Promise<string> {
  await redis.admin.call("ACL", "SETUSER", "callsheet", "on", ">secret", "~*", "&*", "+@all", forbidden);
  return redis.url.replace("redis://", "redis://callsheet:secret@");
}

describe("a Redis that does not tell", () => {
  test("its settings, because CONFIG is forbidden, is used", async () => {
    await using redis = await startRedisServer();
    await using replica = await start({ redisUrl: await limited(redis, "-config") });
    expect(replica.logged()).not.toMatch(/"level":[45]0/);
  });

  test("anything, because INFO is forbidden, is used with a warning", async () => {
    await using redis = await startRedisServer();
    await using replica = await start({ redisUrl: await limited(redis, "-info") });
    expect(replica.logged()).toMatch(
      /"level":40.*make sure that it is .* with maxmemory-policy noeviction\./,
    );
    expect(replica.logged()).not.toContain("secret");
  });
});

test("a Redis that becomes unfit after the start is complained about, and is used all the same", async () => {
  await using redis = await startRedisServer();
  await using replica = await start({ redisUrl: redis.url });
  await redis.admin.config("SET", "maxmemory-policy", "allkeys-lru");
  await eventually(() => expect(replica.logged()).toMatch(/"level":50.*set maxmemory-policy to noeviction/));
  await redis.admin.config("SET", "maxmemory-policy", "noeviction");
  await eventually(() => expect(replica.logged()).toMatch(/"level":30.*Redis answers and is fit for use/));
  await redis.kill();
  await eventually(() => expect(replica.logged()).toMatch(/"level":50.*Redis does not answer/));
});
