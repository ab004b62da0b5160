import { sql } from "kysely";
import { describe, expect, inject, test } from "vitest";
import { openRedis } from "../../src/redis/connection.ts";
import { databaseNow, lockScheduledJob } from "../../src/postgres/jobs/batch-jobs.ts";
import { startScheduler } from "../../src/starting/scheduler.ts";
import { eventually } from "../support/eventually.ts";
import { useFreshParts } from "../support/fresh.ts";
import { lookAt, numbersTo } from "../support/look.ts";
import { makeJob, makeWholeJob } from "../support/make.ts";
import { entryIdOf } from "../support/make-many.ts";
import { type Parts, connected, startParts } from "../support/parts.ts";
import { subscribersOf } from "../support/redis-keys.ts";

const freshParts = useFreshParts();

/** How long the loop sleeps if nothing wakes it: what is done sooner was not left to its next look. */
const longestSleepMs = 60_000;
const promptMs = 20_000;

type Overrides = Partial<Pick<Parts, "startDue" | "startInTurn" | "schedule">> & { longestSleepMs?: number };

/** The scheduler's loop of a replica, with a way to wait until a pass has found nothing and the loop goes to sleep. */
async function startLoop(parts: Parts, overrides: Overrides = {}) {
  await using stack = new AsyncDisposableStack();
  const subscriber = openRedis(inject("redisUrl"));
  stack.defer(() => subscriber.disconnect());
  await connected(subscriber);
  const subscriberId = await subscriber.client("ID");
  const base = overrides.schedule ?? parts.schedule;
  let idle = Promise.withResolvers<void>();
  let claims = 0;
  const schedule: Parts["schedule"] = {
    ...base,
    async claim(...given) {
      claims += 1;
      const claimed = await base.claim(...given);
      if (claimed.entries.length === 0) {
        idle.resolve();
        idle = Promise.withResolvers<void>();
      }
      return claimed;
    },
  };
  const scheduler = startScheduler({ ...parts, longestSleepMs, ...overrides, schedule, subscriber });
  stack.use(scheduler);
  await eventually(async () =>
    expect(await subscribers(parts)).toBe(base.onWake === parts.schedule.onWake ? 1 : 0),
  );
  const running = stack.move();
  return {
    subscriberId,
    stop: () => scheduler[Symbol.asyncDispose](),
    claims: () => claims,
    untilIdle: () => idle.promise,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const subscribers = ({ redis, keys }: Parts): Promise<number> => subscribersOf(redis, keys.wake);

/** Resolves when the loop has just gone to sleep; a loop that hears of new entries is woken for it. */
async function loopSleeps({ redis, keys }: Parts, loop: { untilIdle(): Promise<void> }): Promise<void> {
  const idle = loop.untilIdle();
  await redis.publish(keys.wake, "");
  await idle;
}

/** Adds the entry of a job that is due while the loop sleeps; answers how long it takes until the job is started. */
async function msFromEntryToStart(parts: Parts, loop: { untilIdle(): Promise<void> }): Promise<number> {
  const job = await makeJob(parts, { status: "scheduled", dueInMs: -1 });
  await loopSleeps(parts, loop);
  const addedMs = parts.clock.now();
  await parts.schedule.add({ scheduledJobId: entryIdOf(job), scheduledStartTimeMs: addedMs });
  return Number(await startedAt(parts, job.id)) - addedMs;
}

const startedAt = (parts: Parts, jobId: string): Promise<Date | null | undefined> =>
  eventually(async () => {
    const { row } = await lookAt(parts, jobId);
    expect(row?.status).toBe("running");
    return row?.started_at;
  });

describe("the loop", () => {
  test("starts a job whose entry is added while it sleeps, without waiting for its next look", async () => {
    await using parts = await freshParts();
    await using loop = await startLoop(parts);
    expect(await msFromEntryToStart(parts, loop)).toBeLessThan(promptMs);
  });

  test("control: only its next look finds that entry where it does not hear of it", async () => {
    await using parts = await freshParts();
    const deaf = { schedule: { ...parts.schedule, onWake: () => {} }, longestSleepMs: 4_000 };
    await using loop = await startLoop(parts, deaf);
    // Much less than the 3.2 s that it sleeps at least, for the sleep began before the entry was added.
    expect(await msFromEntryToStart(parts, loop)).toBeGreaterThan(500);
  });

  test("sleeps until an entry is due, and starts its job then and not before", async () => {
    await using parts = await freshParts();
    await using loop = await startLoop(parts);
    await loopSleeps(parts, loop);
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: 500 });
    const lagMs = Number(await startedAt(parts, job.id)) - Number(job.scheduled_at);
    expect(lagMs).toBeGreaterThanOrEqual(0);
    expect(lagMs).toBeLessThan(promptMs);
  });

  test("goes on after passes that failed, which are counted", async () => {
    await using parts = await freshParts();
    let failures = 2;
    await using loop = await startLoop(parts, {
      async startDue(ids) {
        failures -= 1;
        return failures < 0 ? await parts.startDue(ids) : await Promise.reject(new Error("Postgres is away"));
      },
    });
    await msFromEntryToStart(parts, loop);
    expect((await parts.metrics.schedulerFailures.get()).values[0]?.value).toBe(2);
  });

  // Of a cluster's client it cannot be said which connection is subscribed; test/redis/failover.test.ts kills its node.
  const isOneServer = !inject("redisUrl").includes(",");
  test.runIf(isOneServer)(
    "goes on after Redis has closed its connections, and hears of new entries again (one server)",
    async () => {
      await using parts = await freshParts();
      await using admin = await startParts({ beside: parts });
      await using loop = await startLoop(parts);
      await msFromEntryToStart(parts, loop);
      for (const id of [await parts.redis.client("ID"), loop.subscriberId]) {
        expect(await admin.redis.client("KILL", "ID", id)).toBe(1);
      }
      await eventually(async () => expect(await subscribers(admin)).toBe(1));
      expect(
        await msFromEntryToStart({ ...parts, schedule: admin.schedule, redis: admin.redis }, loop),
      ).toBeLessThan(promptMs);
    },
  );

  test("goes on after Postgres has closed its connections", async () => {
    await using parts = await freshParts();
    await using loop = await startLoop(parts);
    await msFromEntryToStart(parts, loop);
    await using admin = await startParts({ beside: parts });
    await sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`.execute(admin.db);
    expect(await msFromEntryToStart({ ...parts, db: admin.db }, loop)).toBeGreaterThan(0);
  });
});

describe("a due job whose row is locked", () => {
  test("starts as soon as the lock is gone, and not when its claim would run out", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: 300 });
    await using loopStack = new AsyncDisposableStack();
    let tries = 0;
    const releasedMs = await parts.db.transaction().execute(async (trx) => {
      await lockScheduledJob(trx, entryIdOf(job));
      const tried = Promise.withResolvers<void>();
      loopStack.use(
        await startLoop(parts, {
          async startDue(ids) {
            tries += 1;
            if (tries === 4) tried.resolve();
            return await parts.startDue(ids);
          },
        }),
      );
      await tried.promise;
      return (await databaseNow(trx)).getTime();
    });
    const lateMs = Number(await startedAt(parts, job.id)) - releasedMs;
    // 100 on a machine that has nothing else to do; an entry that is left to its claim comes again after 5 s.
    expect(lateMs).toBeLessThan(4_000);
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
  });

  test("has its turn in the row's queue where others lock it one after the other, so that it is never found free", async () => {
    await using parts = await freshParts();
    const job = await makeWholeJob(parts, { status: "scheduled", dueInMs: -1 });
    const entryId = entryIdOf(job);
    await using loopStack = new AsyncDisposableStack();
    await parts.db.transaction().execute(async (trx) => {
      await lockScheduledJob(trx, entryId);
      loopStack.use(
        await startLoop(parts, {
          startDue: async () => ({
            done: [],
            later: [],
            locked: [{ scheduledJobId: entryId, overdueMs: 1_500 }],
            started: [],
          }),
        }),
      );
      await eventually(async () => {
        const { rows } = await sql`
          select from pg_locks
          where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))`.execute(trx);
        expect(rows.length).toBe(1);
      });
    });
    await startedAt(parts, job.id);
    await eventually(async () => expect((await lookAt(parts, job.id)).list).toEqual(numbersTo(3)));
  });
});

describe("stopping the loop", () => {
  test("ends its sleep at once, and nothing is claimed any more", async () => {
    await using parts = await freshParts();
    await using loop = await startLoop(parts);
    await loopSleeps(parts, loop);
    const began = performance.now();
    await loop.stop();
    expect(performance.now() - began).toBeLessThan(promptMs);
    const claims = loop.claims();
    await parts.schedule.add({
      scheduledJobId: "b3b1c6f4-0000-4000-8000-000000000000",
      scheduledStartTimeMs: 1,
    });
    await parts.redis.ping();
    expect(loop.claims()).toBe(claims);
    expect(await parts.redis.zcard(parts.keys.due)).toBe(1);
  });

  test("waits for the pass in hand", async () => {
    await using parts = await freshParts();
    const inHand = Promise.withResolvers<void>();
    const letGo = Promise.withResolvers<void>();
    await using loop = await startLoop(parts, {
      async startDue(ids) {
        inHand.resolve();
        await letGo.promise;
        return await parts.startDue(ids);
      },
    });
    const job = await makeJob(parts, { status: "scheduled", dueInMs: -1 });
    await parts.schedule.add({ scheduledJobId: entryIdOf(job), scheduledStartTimeMs: 1 });
    await inHand.promise;
    const stopped = loop.stop().then(() => "stopped");
    await parts.redis.ping();
    expect(await Promise.race([stopped, "in hand"])).toBe("in hand");
    letGo.resolve();
    await stopped;
    expect((await lookAt(parts, job.id)).row).toMatchObject({ status: "running" });
    expect(await parts.redis.zcard(parts.keys.due)).toBe(0);
  });

  test("works at any moment, twenty times over", async () => {
    await using parts = await freshParts();
    for (let times = 0; times < 20; times += 1) {
      await using loop = await startLoop(parts);
      await parts.redis.ping();
      await loop.stop();
    }
    await eventually(async () => expect(await subscribers(parts)).toBe(0));
  });
});
