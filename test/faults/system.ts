import { generateApiKey } from "../../src/domain/api-key.ts";
import { databaseNow } from "../../src/postgres/jobs/batch-jobs.ts";
import { type Database, openDatabase } from "../../src/postgres/connections/database.ts";
import { migrate } from "../../src/postgres/schema/migrate.ts";
import { type RedisClient, openRedis } from "../../src/redis/connection.ts";
import { type Keys, createKeys } from "../../src/redis/keys.ts";
import { eventually } from "../support/eventually.ts";
import { type OwnServers, startOwnServers } from "../support/servers/own-servers.ts";
import { root } from "../support/readme.ts";
import { type Random, createRandom, seedFrom } from "../support/random.ts";
import { type Replica, startReplica } from "../support/replica.ts";
import { type History, createHistory, installHistory } from "./history.ts";
import { type Violation, judge } from "./oracle.ts";

const prefix = "callsheet";

/**
 * Replicas in processes of their own on servers of their own, all of which may be done harm to, and the history of it.
 */
export type System = AsyncDisposable & {
  readonly servers: OwnServers;
  readonly replicas: readonly Replica[];
  readonly history: History;
  /** Choices of a place that makes them one after the other; the same in every run with the same seed. */
  randomOf(place: string): Random;
  readonly keys: Keys;
  readonly apiKey: string;
  /** Works on the database past all proxies. */
  withDatabase<T>(work: (db: Database) => Promise<T>): Promise<T>;
  /** The same with Redis. */
  withRedis<T>(work: (redis: RedisClient) => Promise<T>): Promise<T>;
  /** What the oracle finds. */
  violations(): Promise<Violation[]>;
  /** The same with another history of what clients saw. */
  judge(history: History): Promise<Violation[]>;
  /** What no replica may ever log: an error that nobody expected, a deadlock, or a phone number. */
  badLogLines(): string[];
};

export async function startSystem(
  options: {
    replicas?: number;
    seed?: number;
    settings?: (i: number) => Record<string, string>;
    /** The tree whose program a replica is from its next start on. */
    directory?: (i: number) => string;
    /** Other servers than a Postgres and a Redis by themselves. */
    startServers?: () => Promise<OwnServers>;
    /** By whom the schema is made before the first start. */
    makeSchema?: (databaseUrl: string) => Promise<void>;
  } = {},
): Promise<System> {
  const { replicas: count = 3, seed = 1, settings = () => ({}), makeSchema = migrate } = options;
  await using stack = new AsyncDisposableStack();
  const servers = stack.use(await (options.startServers ?? startOwnServers)());
  const apiKey = generateApiKey();
  const history = createHistory();

  async function withDatabase<T>(work: (db: Database) => Promise<T>): Promise<T> {
    const db = openDatabase({ url: servers.postgres.url(), poolSize: 2, queryTimeoutMs: 120_000 });
    try {
      // On a machine that is short of breath a connection may take longer than its timeout.
      await eventually(() => databaseNow(db), 30_000);
      return await work(db);
    } finally {
      await db.destroy();
    }
  }

  async function withRedis<T>(work: (redis: RedisClient) => Promise<T>): Promise<T> {
    const redis = openRedis(servers.redis.url());
    try {
      if (redis.status !== "ready") await new Promise<void>((ready) => redis.once("ready", () => ready()));
      return await work(redis);
    } finally {
      redis.disconnect();
    }
  }

  await makeSchema(servers.postgres.url());
  await withDatabase(installHistory);
  const replicas = await Promise.all(
    Array.from({ length: count }, async (_, i) =>
      stack.use(
        await startReplica({
          name: `replica ${i + 1}`,
          postgresUrl: servers.postgres.url,
          redisUrl: servers.redis.url,
          apiKey,
          settings: { ERASURE_KEY: "the key of this system, which is no secret", ...settings(i) },
          directory: () => options.directory?.(i) ?? root,
        }),
      ),
    ),
  );
  const judgeBy = (by: History) =>
    withDatabase((db) => withRedis((redis) => judge({ db, redis, prefix, history: by })));
  const running = stack.move();
  return {
    servers,
    replicas,
    history,
    randomOf: (place) => createRandom(seedFrom(seed, place)),
    keys: createKeys(prefix),
    apiKey,
    withDatabase,
    withRedis,
    violations: () => judgeBy(history),
    judge: judgeBy,
    badLogLines: () =>
      replicas.flatMap((replica) =>
        replica
          .log()
          .split("\n")
          .filter((line) =>
            /unexpected error|deadlock detected|\+141[5-7]\d{7}|^\s*at .*\(|Warning/.test(line),
          ),
      ),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The oracle's finding once it has none, or after a while. Entries and keys that a fault left are given time to go. */
export async function settled(system: Pick<System, "violations">, withinMs = 20_000): Promise<Violation[]> {
  let found: Violation[] = [];
  await eventually(async () => {
    found = await system.violations();
    if (found.length > 0) throw new Error("not yet");
  }, withinMs).catch(() => {});
  return found;
}
