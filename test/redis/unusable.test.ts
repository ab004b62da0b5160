import { randomUUID } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createMetrics } from "../../src/vitals/metrics.ts";
import { startRedisWatch } from "../../src/vitals/redis-watch.ts";
import { openRedis } from "../../src/redis/connection.ts";
import { createKeys } from "../../src/redis/keys.ts";
import { eventually } from "../support/eventually.ts";
import { root } from "../support/readme.ts";
import { startRedisCluster } from "../support/servers/redis-cluster.ts";
import { type RedisServer, startRedisServer } from "../support/servers/redis-servers.ts";

const keys = createKeys("callsheet");

/** The watch of a replica over a Redis, with what it logs and measures. */
async function watch(url: string, installationId: string = randomUUID()) {
  await using stack = new AsyncDisposableStack();
  const redis = openRedis(url);
  stack.defer(() => redis.disconnect());
  const subscriber = openRedis(url);
  stack.defer(() => subscriber.disconnect());
  const lines: string[] = [];
  const logger = pino({ level: "info" }, { write: (line) => void lines.push(line) });
  const metrics = createMetrics();
  stack.use(await startRedisWatch({ redis, subscriber, keys, installationId, metrics, logger }));
  const running = stack.move();
  const valueOf = async (gauge: typeof metrics.redisUp) => (await gauge.get()).values[0]?.value;
  return {
    redis,
    lines,
    up: () => valueOf(metrics.redisUp),
    fit: () => valueOf(metrics.redisFit),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The sentence with which a replica does not start. */
async function complaint(url: string, installationId?: string): Promise<string> {
  try {
    await (await watch(url, installationId))[Symbol.asyncDispose]();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  throw new Error("it has started");
}

/** A URL whose user has these rights. */
async function userWith(server: RedisServer, ...rights: string[]): Promise<string> {
  await server.admin.call("ACL", "SETUSER", "someone", "reset", "on", ">secret", ...rights);
  return server.url.replace("redis://", "redis://someone:secret@");
}

const needed =
  "~callsheet:* &callsheet:* +@read +@write +@scripting +@pubsub +@connection +info, and on a cluster +cluster.";
const own = needed.slice(0, needed.indexOf(",")).split(" ");

describe("a replica does not start with a Redis that answers and cannot be used, and says what is missing:", () => {
  test.each([
    ["scripts", ["~*", "&*", "+@all", "-@scripting"], "run EVALSHA"],
    ["our keys", ["~app:*", "&*", "+@all"], "use keys that start with callsheet:"],
    ["our channels", ["~*", "&app:*", "+@all"], "use channels that start with callsheet:"],
    ["a command that scripts run", ["~*", "&*", "+@all", "-lpop"], "run LPOP"],
    ["messages", ["~*", "&*", "+@all", "-subscribe"], "run SUBSCRIBE"],
    ["walks over all keys", ["~*", "&*", "+@all", "-scan"], "run SCAN"],
    ["writing", ["%R~*", "&*", "+@all"], "use keys that start with callsheet:"],
  ] as const)("the right to %s", async (_, rights, what) => {
    await using server = await startRedisServer();
    expect(await complaint(await userWith(server, ...rights))).toBe(
      `Redis does not let the user of REDIS_URL ${what}; it needs ${needed}`,
    );
  });

  test("a replica of Redis, which takes no writes", async () => {
    await using master = await startRedisServer({ "repl-diskless-sync-delay": "0" });
    await using replica = await startRedisServer({ replicaof: `127.0.0.1 ${master.port}` });
    await eventually(async () => expect(await replica.admin.info("replication")).toContain("link_status:up"));
    expect(await complaint(replica.url)).toBe(
      "REDIS_URL names a replica of Redis, which takes no writes; it must name the master.",
    );
  });

  test("a right on one master of a cluster", { timeout: 60_000 }, async () => {
    await using cluster = await startRedisCluster({ replicasEach: 0, nodeTimeoutMs: 15_000 });
    for (const [place, master] of cluster.masters.entries()) {
      await userWith(master, ...own, "+cluster", ...(place === 1 ? ["-zrem"] : []));
    }
    const url = cluster.url.replaceAll("redis://", "redis://someone:secret@");
    expect(await complaint(url)).toMatch(/^Redis does not let the user of REDIS_URL run ZREM;/);
    await using fit = await complaintGone(cluster.masters[1], url);
    expect(await fit.up()).toBe(1);
  });
});

async function complaintGone(master: RedisServer | undefined, url: string) {
  if (master === undefined) throw new Error("there is no such master");
  await userWith(master, ...own, "+cluster");
  return await watch(url);
}

describe("a user with", () => {
  test("no more rights than that sentence names can be used", async () => {
    await using server = await startRedisServer();
    await using replica = await watch(await userWith(server, ...own));
    expect([await replica.up(), await replica.fit()]).toEqual([1, 1]);
    expect(replica.lines).toEqual([]);
  });

  test("rights that are taken away later is complained about once, counted as away, and used again", async () => {
    await using server = await startRedisServer();
    await using replica = await watch(await userWith(server, ...own));
    await userWith(server, ...own, "-evalsha", "-eval");
    await eventually(async () => expect([await replica.up(), await replica.fit()]).toEqual([0, 0]));
    const complaints = () => replica.lines.filter((line) => line.includes('"level":50'));
    await eventually(() => expect(complaints().at(-1)).toMatch(/run EVALSHA/));
    const told = complaints().length;
    await userWith(server, ...own);
    await eventually(async () => expect([await replica.up(), await replica.fit()]).toEqual([1, 1]));
    expect(complaints()).toHaveLength(told);
  });
});

const commandsIn = (text: string) =>
  [...text.matchAll(/(?:redis\.call|try)\("([A-Z]+)"/g)].map(([, name]) => name);

test("every command of the scripts is tried at the start", () => {
  const directory = join(root, "src/redis");
  const read = (file: string) => readFileSync(join(directory, file), "utf8");
  const used = readdirSync(directory).flatMap((file) => commandsIn(read(file)));
  expect(new Set(commandsIn(read("probe.ts")))).toEqual(new Set(used));
});

describe("the number of a database", () => {
  test("that Redis does not have is refused, and nothing is written to database 0", async () => {
    await using server = await startRedisServer();
    expect(await complaint(`${server.url}/99`)).toBe(
      "Redis has no database of the number that REDIS_URL ends with; most have 0 to 15, and some only 0.",
    );
    expect(await server.admin.dbsize()).toBe(0);
  });

  test("that it has is used", async () => {
    await using server = await startRedisServer();
    await using replica = await watch(`${server.url}/9`);
    expect(await replica.up()).toBe(1);
    expect(await server.admin.dbsize()).toBe(0);
    await server.admin.select(9);
    expect(await server.admin.keys("*")).toEqual([keys.installation]);
  });

  test.each([
    ["redis://127.0.0.1/jobs", /^REDIS_URL must end with the number of a database/],
    ["redis://127.0.0.1?db=jobs", /^REDIS_URL must end with the number of a database/],
    [
      "redis://127.0.0.1:1/3,redis://127.0.0.1:2/3",
      /^REDIS_URL names database 3 of a Redis Cluster.*leave the/,
    ],
  ])("that cannot be one is refused: %s", async (url, sentence) => {
    expect(() => openRedis(url)).toThrow(sentence);
  });
});

const foreign = (id: string) =>
  `In this Redis the keys that start with callsheet: are another database's (installation ${id}); choose another REDIS_PREFIX or another database number in REDIS_URL, or, if that installation is gone, delete the key callsheet:{schedule}:installation in Redis.`;

describe("two installations with one prefix in one Redis:", () => {
  test("the second one does not start, and starts with another database number", async () => {
    await using server = await startRedisServer();
    const first = randomUUID();
    await using replica = await watch(server.url, first);
    await using another = await watch(server.url, first);
    expect([await replica.fit(), await another.fit()]).toEqual([1, 1]);
    expect(await complaint(server.url)).toBe(foreign(first));
    expect(await server.admin.get(keys.installation)).toBe(first);
    await using elsewhere = await watch(`${server.url}/1`);
    expect(await elsewhere.fit()).toBe(1);
  });

  test("the first one claims its prefix again after a loss of Redis", async () => {
    await using server = await startRedisServer();
    const first = randomUUID();
    await using replica = await watch(server.url, first);
    await server.admin.flushall();
    await eventually(async () => expect(await server.admin.get(keys.installation)).toBe(first));
    expect(await replica.fit()).toBe(1);
  });

  test("one that finds another's name later complains once, and goes on", async () => {
    await using server = await startRedisServer();
    await using replica = await watch(server.url);
    const other = randomUUID();
    await server.admin.set(keys.installation, other);
    await eventually(async () => expect(await replica.fit()).toBe(0));
    expect(await replica.up()).toBe(1);
    expect(replica.lines.map((line) => JSON.parse(line))).toMatchObject([{ level: 50, msg: foreign(other) }]);
  });
});
