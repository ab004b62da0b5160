// What it takes each peer to have a contact durable and waiting: one job for each, added in the way that its own
// documentation advises for many.
import { Queue } from "bullmq";
import { Logger, makeWorkerUtils } from "graphile-worker";
import { Pool } from "pg";
import { PgBoss } from "pg-boss";
import { batchesOf, perSecond } from "./contacts.ts";
import type { Servers } from "./fresh-service.ts";
import { postgresBytes, redisBytes, withRedis } from "./measure.ts";
import type { Sample } from "./workload.ts";

/** Adds some to warm up, then `total`, of which it measures how many a second. */
export type Enqueue = (servers: Servers, total: number, warmUp: number) => Promise<Sample>;

export const connectionOf = (redisUrl: string) => {
  const url = new URL(redisUrl);
  return { host: url.hostname, port: Number(url.port), password: url.password };
};

export const addBulk: Enqueue = async ({ redisUrl }, total, warmUp) => {
  const queue = new Queue("calls", { connection: connectionOf(redisUrl) });
  await queue.waitUntilReady();
  return await withRedis(redisUrl, async (redis) => {
    const add = async (count: number) => {
      for (const batch of batchesOf(count, 1_000)) {
        await queue.addBulk(batch.map((data) => ({ name: "call", data })));
      }
    };
    await add(warmUp);
    const before = await redisBytes(redis);
    const began = performance.now();
    await add(total);
    const value = perSecond(total, began);
    await queue.close();
    return { value, extra: { "Redis, bytes per contact": ((await redisBytes(redis)) - before) / total } };
  });
};

export const insertJobs: Enqueue = async ({ databaseUrl }, total, warmUp) => {
  const boss = new PgBoss({ connectionString: databaseUrl, max: 10 });
  await boss.start();
  await boss.createQueue("calls");
  const add = async (count: number) => {
    for (const batch of batchesOf(count, 5_000)) {
      await boss.insert(
        "calls",
        batch.map((data) => ({ data })),
      );
    }
  };
  await add(warmUp);
  const before = await postgresBytes(databaseUrl);
  const began = performance.now();
  await add(total);
  const value = perSecond(total, began);
  const extra = { "Postgres, bytes per contact": ((await postgresBytes(databaseUrl)) - before) / total };
  await boss.stop({ graceful: false });
  return { value, extra };
};

export const addJobs: Enqueue = async ({ databaseUrl }, total, warmUp) => {
  const pgPool = new Pool({ connectionString: databaseUrl, max: 10 });
  const utils = await makeWorkerUtils({ pgPool, logger: new Logger(() => () => {}) });
  await utils.migrate();
  const add = async (count: number) => {
    for (const batch of batchesOf(count, 5_000)) {
      await utils.addJobs(batch.map((data) => ({ identifier: "call", payload: data })));
    }
  };
  await add(warmUp);
  const before = await postgresBytes(databaseUrl);
  const began = performance.now();
  await add(total);
  const value = perSecond(total, began);
  const extra = { "Postgres, bytes per contact": ((await postgresBytes(databaseUrl)) - before) / total };
  await utils.release();
  await pgPool.end();
  return { value, extra };
};
