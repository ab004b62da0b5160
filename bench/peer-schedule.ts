// Jobs with a time, each in the way and with the setting of each peer that is the soonest.
import { setTimeout as delay } from "node:timers/promises";
import { Queue, Worker } from "bullmq";
import { Logger, makeWorkerUtils, run as runGraphile } from "graphile-worker";
import { Pool } from "pg";
import { PgBoss } from "pg-boss";
import type { Servers } from "./fresh-service.ts";
import { connectionOf } from "./peer-enqueue.ts";

/** Gets itself ready, adds a job for each time, works them, and answers how late each was, in ms. */
export type LatePeer = (servers: Servers, times: readonly Date[]) => Promise<Late[]>;

type Timed = { due: number };
type Late = Timed & { lag: number };

/** Far longer than any of them needs. */
const patienceMs = 180_000;

/** All of them must be there by now, and none due. */
function createLags({ length: count, [0]: first }: readonly Date[]) {
  if (first !== undefined && first.getTime() < Date.now())
    throw new Error("the first job was due before all were there");
  const lags: Late[] = [];
  return {
    note: ({ due }: Timed) => void lags.push({ due, lag: performance.timeOrigin + performance.now() - due }),
    async all(): Promise<Late[]> {
      const deadline = performance.now() + patienceMs;
      while (lags.length < count) {
        if (performance.now() > deadline) throw new Error(`${lags.length} of ${count} jobs were worked`);
        await delay(10);
      }
      return lags;
    },
  };
}

const inBatches = function* <T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
};

export const bullmqDelayed: LatePeer = async ({ redisUrl }, times) => {
  const connection = connectionOf(redisUrl);
  await using stack = new AsyncDisposableStack();
  const queue = new Queue("calls", { connection });
  stack.defer(() => queue.close());
  for (const batch of inBatches(times, 1_000)) {
    await queue.addBulk(
      batch.map((time) => ({
        name: "call",
        data: { due: time.getTime() },
        opts: { delay: time.getTime() - Date.now() },
      })),
    );
  }
  const lags = createLags(times);
  const worker = new Worker("calls", async ({ data }: { data: Timed }) => lags.note(data), {
    connection,
    concurrency: 100,
  });
  stack.defer(() => worker.close());
  return await lags.all();
};

export const graphileRunAt: LatePeer = async ({ databaseUrl }, times) => {
  await using stack = new AsyncDisposableStack();
  const pgPool = new Pool({ connectionString: databaseUrl, max: 10 });
  stack.defer(() => pgPool.end());
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool, logger });
  stack.defer(async () => void (await utils.release()));
  await utils.migrate();
  for (const batch of inBatches(times, 1_000)) {
    await utils.addJobs(
      batch.map((time) => ({ identifier: "call", payload: { due: time.getTime() }, runAt: time })),
    );
  }
  const lags = createLags(times);
  const runner = await runGraphile({
    pgPool,
    logger,
    noHandleSignals: true,
    taskList: { call: (payload: unknown) => lags.note(payload as Timed) },
    preset: {
      worker: { concurrentJobs: 100, pollInterval: 100, localQueue: { size: 500 }, completeJobBatchDelay: 0 },
    },
  });
  stack.defer(() => runner.stop());
  return await lags.all();
};

export const pgBossStartAfter: LatePeer = async ({ databaseUrl }, times) => {
  const boss = new PgBoss({ connectionString: databaseUrl, max: 10 });
  await boss.start();
  await boss.createQueue("calls");
  for (const batch of inBatches(times, 5_000)) {
    await boss.insert(
      "calls",
      batch.map((time) => ({ data: { due: time.getTime() }, startAfter: time })),
    );
  }
  const lags = createLags(times);
  await boss.work(
    "calls",
    { batchSize: 5_000, pollingIntervalSeconds: 0.5 },
    async (jobs: { data: Timed }[]) => {
      for (const { data } of jobs) lags.note(data);
    },
  );
  const seen = await lags.all();
  await boss.stop({ graceful: false });
  return seen;
};
