// The peers, each with the settings that its own documentation advises for throughput.
import { setTimeout as delay } from "node:timers/promises";
import { Queue, Worker } from "bullmq";
import { Logger, makeWorkerUtils, run as runGraphile } from "graphile-worker";
import { Pool } from "pg";
import { PgBoss } from "pg-boss";
import type { Servers } from "./fresh-service.ts";

/** Works `total` jobs that do nothing and answers how many a second. Putting them there is not counted. */
export type Peer = (servers: Servers, total: number, workers: number) => Promise<number>;

const payload = (i: number) => ({
  phone: `+1${4_150_000_000 + i}`,
  name: "Ada Lovelace",
  plan: "basic",
  city: "London",
});

/** The payloads of all jobs, some at a time. */
function* batches(total: number, size: number) {
  for (let first = 0; first < total; first += size) {
    yield Array.from({ length: Math.min(size, total - first) }, (_, i) => payload(first + i));
  }
}

export const perSecond = (total: number, began: number): number =>
  Math.round(total / ((performance.now() - began) / 1000));

async function untilZero(left: () => number): Promise<void> {
  while (left() > 0) await delay(1);
}

/** A worker with 100 jobs at once, as its documentation has it for jobs that wait for something else. */
export const bullmq: Peer = async ({ redisUrl }, total) => {
  const url = new URL(redisUrl);
  const connection = { host: url.hostname, port: Number(url.port), password: url.password };
  await using stack = new AsyncDisposableStack();
  const queue = new Queue("calls", { connection });
  stack.defer(() => queue.close());
  for (const batch of batches(total, 1_000)) {
    await queue.addBulk(batch.map((data) => ({ name: "call", data, opts: { removeOnComplete: true } })));
  }
  let left = total;
  const began = performance.now();
  const worker = new Worker("calls", () => Promise.resolve(), { connection, concurrency: 100 });
  stack.defer(() => worker.close());
  worker.on("completed", () => {
    left -= 1;
  });
  await untilZero(() => left);
  return perSecond(total, began);
};

/** Loops of fetch and complete, 100 jobs at a time. */
export const pgBoss: Peer = async ({ databaseUrl }, total, workers) => {
  await using stack = new AsyncDisposableStack();
  const boss = new PgBoss({ connectionString: databaseUrl, max: 10 });
  stack.defer(() => boss.stop({ graceful: false }));
  await boss.start();
  await boss.createQueue("calls");
  for (const batch of batches(total, 5_000))
    await boss.insert(
      "calls",
      batch.map((data) => ({ data })),
    );
  const began = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (;;) {
        const jobs = await boss.fetch("calls", { batchSize: 100 });
        if (jobs.length === 0) break;
        await boss.complete(
          "calls",
          jobs.map((job) => job.id),
        );
      }
    }),
  );
  return perSecond(total, began);
};

/** 100 jobs at once, fetched 500 at a time, and completed in batches. */
export const graphileWorker: Peer = async ({ databaseUrl }, total) => {
  await using stack = new AsyncDisposableStack();
  const pgPool = new Pool({ connectionString: databaseUrl, max: 10 });
  stack.defer(() => pgPool.end());
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool, logger });
  stack.defer(async () => void (await utils.release()));
  await utils.migrate();
  for (const batch of batches(total, 5_000)) {
    await utils.addJobs(batch.map((data) => ({ identifier: "call", payload: data })));
  }
  let left = total;
  const began = performance.now();
  const runner = await runGraphile({
    pgPool,
    logger,
    noHandleSignals: true,
    taskList: {
      call: () => {
        left -= 1;
      },
    },
    preset: { worker: { concurrentJobs: 100, localQueue: { size: 500 }, completeJobBatchDelay: 0 } },
  });
  stack.defer(() => runner.stop());
  await untilZero(() => left);
  // The last ones are complete when their rows are gone.
  for (let rows = 1; rows > 0;) {
    const result = await pgPool.query<{ left: number }>(
      "select count(*)::int as left from graphile_worker._private_jobs",
    );
    rows = result.rows[0]?.left ?? 0;
  }
  return perSecond(total, began);
};
