// What peers do to one job that waits for its time: have it run now, or at another time.
import { Queue } from "bullmq";
import { Logger, makeWorkerUtils } from "graphile-worker";
import { Pool } from "pg";
import type { Commands } from "./commands.ts";
import type { Servers } from "./fresh-service.ts";
import { connectionOf } from "./peer-enqueue.ts";

const dayMs = 24 * 60 * 60 * 1_000;

const inBatches = function* (count: number, size: number): Generator<number[]> {
  for (let first = 0; first < count; first += size)
    yield Array.from({ length: Math.min(size, count - first) }, (_, i) => first + i);
};

/** Its jobs have been read before: a command is one script. */
export async function bullmqCommands({ redisUrl }: Servers, count: number): Promise<Commands> {
  const queue = new Queue("calls", { connection: connectionOf(redisUrl) });
  const jobs: Awaited<ReturnType<InstanceType<typeof Queue>["addBulk"]>> = [];
  for (const batch of inBatches(count, 1_000)) {
    const added = batch.map((i) => ({ name: "call", data: { i }, opts: { delay: dayMs } }));
    jobs.push(...(await queue.addBulk(added)));
  }
  return {
    start: async (i) => await jobs[i]?.promote(),
    reschedule: async (i) => await jobs[i]?.changeDelay(2 * dayMs + i * 1_000),
    [Symbol.asyncDispose]: () => queue.close(),
  };
}

/** `rescheduleJobs` does both. */
export async function graphileCommands({ databaseUrl }: Servers, count: number): Promise<Commands> {
  const pgPool = new Pool({ connectionString: databaseUrl, max: 10 });
  const utils = await makeWorkerUtils({ pgPool, logger: new Logger(() => () => {}) });
  await utils.migrate();
  const ids: string[] = [];
  const runAt = new Date(Date.now() + dayMs);
  for (const batch of inBatches(count, 5_000)) {
    const added = await utils.addJobs(batch.map((i) => ({ identifier: "call", payload: { i }, runAt })));
    ids.push(...added.map(({ id }: { id: string }) => id));
  }
  return {
    start: (i) => utils.rescheduleJobs([ids[i] ?? ""], { runAt: new Date() }),
    reschedule: (i) =>
      utils.rescheduleJobs([ids[i] ?? ""], { runAt: new Date(Date.now() + 2 * dayMs + i * 1_000) }),
    async [Symbol.asyncDispose]() {
      await utils.release();
      await pgPool.end();
    },
  };
}
