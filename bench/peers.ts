// The peers, each with the settings that its own documentation advises for throughput.
import { Queue, Worker } from "bullmq";
import { Logger, makeWorkerUtils, run as runGraphile } from "graphile-worker";
import { Pool } from "pg";
import { PgBoss } from "pg-boss";
import { batchesOf, perSecond } from "./contacts.ts";
import type { Servers } from "./fresh-service.ts";
import { connectionOf } from "./peer-enqueue.ts";

/**
 * Works jobs that do nothing: some to warm up, then `total`, of which it answers how many a second. Putting them there
 * is not counted.
 */
export type Peer = (servers: Servers, total: number, warmUp: number) => Promise<number>;

/** Counts jobs that are done; the clock runs from the last one of the warm-up on. */
function createCount(total: number, warmUp: number) {
  const { promise: all, resolve } = Promise.withResolvers<void>();
  let left = total + warmUp;
  let began = performance.now();
  return {
    done(count: number): void {
      const isWarmingUp = left > total;
      left -= count;
      if (isWarmingUp && left <= total) began = performance.now();
      if (left <= 0) resolve();
    },
    all,
    perSecond: () => perSecond(total, began),
  };
}

/** A worker with 100 jobs at once, as its documentation has it for jobs that wait for something else. */
export const bullmq: Peer = async ({ redisUrl }, total, warmUp) => {
  const connection = connectionOf(redisUrl);
  await using stack = new AsyncDisposableStack();
  const queue = new Queue("calls", { connection });
  stack.defer(() => queue.close());
  for (const batch of batchesOf(total + warmUp, 1_000)) {
    await queue.addBulk(batch.map((data) => ({ name: "call", data, opts: { removeOnComplete: true } })));
  }
  const count = createCount(total, warmUp);
  const worker = new Worker("calls", () => Promise.resolve(), { connection, concurrency: 100 });
  stack.defer(() => worker.close());
  worker.on("completed", () => count.done(1));
  await count.all;
  return count.perSecond();
};

/** Eight loops of fetch and complete, 100 jobs at a time. */
export const pgBoss: Peer = async ({ databaseUrl }, total, warmUp) => {
  await using stack = new AsyncDisposableStack();
  const boss = new PgBoss({ connectionString: databaseUrl, max: 10 });
  stack.defer(() => boss.stop({ graceful: false }));
  await boss.start();
  await boss.createQueue("calls");
  for (const batch of batchesOf(total + warmUp, 5_000))
    await boss.insert(
      "calls",
      batch.map((data) => ({ data })),
    );
  const count = createCount(total, warmUp);
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (;;) {
        const jobs = await boss.fetch("calls", { batchSize: 100 });
        if (jobs.length === 0) break;
        await boss.complete(
          "calls",
          jobs.map((job: { id: string }) => job.id),
        );
        count.done(jobs.length);
      }
    }),
  );
  return count.perSecond();
};

/** 100 jobs at once, fetched 500 at a time, and completed in batches. */
export const graphileWorker: Peer = async ({ databaseUrl }, total, warmUp) => {
  await using stack = new AsyncDisposableStack();
  const pgPool = new Pool({ connectionString: databaseUrl, max: 10 });
  stack.defer(() => pgPool.end());
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool, logger });
  stack.defer(async () => void (await utils.release()));
  await utils.migrate();
  for (const batch of batchesOf(total + warmUp, 5_000)) {
    await utils.addJobs(batch.map((data) => ({ identifier: "call", payload: data })));
  }
  const count = createCount(total, warmUp);
  const runner = await runGraphile({
    pgPool,
    logger,
    noHandleSignals: true,
    taskList: { call: () => count.done(1) },
    preset: { worker: { concurrentJobs: 100, localQueue: { size: 500 }, completeJobBatchDelay: 0 } },
  });
  stack.defer(() => runner.stop());
  await count.all;
  // The last ones are complete when their rows are gone.
  for (let rows = 1; rows > 0;) {
    const result = await pgPool.query<{ left: number }>(
      "select count(*)::int as left from graphile_worker._private_jobs",
    );
    rows = result.rows[0]?.left ?? 0;
  }
  return count.perSecond();
};
