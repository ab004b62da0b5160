import { sql } from "kysely";
import { afterAll, beforeEach, expect, test } from "vitest";
import { type Clock, startClock } from "../../src/vitals/clock.ts";
import { databaseNow } from "../../src/postgres/jobs/batch-jobs.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { cloneDatabase } from "../support/database.ts";
import { startProxy } from "../support/servers/proxy.ts";

const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const proxy = stack.use(await startProxy(database.url));
const beside = openDatabase({ url: database.url, poolSize: 1 });
stack.defer(() => beside.destroy());
const db = openDatabase({ url: proxy.url, poolSize: 1 });
stack.defer(() => db.destroy());
afterAll(() => stack.disposeAsync());

let clock: Clock;
beforeEach(async () => {
  proxy.delayReplies(0);
  clock = await startClock(db);
});

/** By how much the clock is certainly off, found out without the proxy; a look that takes long shows less of it. */
async function errorMs(): Promise<number> {
  const errors: number[] = [];
  for (let look = 0; look < 20; look += 1) {
    const before = clock.now();
    const time = (await databaseNow(beside)).getTime();
    errors.push(Math.max(before - time - 1, time - clock.now(), 0));
  }
  return Math.max(...errors);
}

test("a clock that measures while every answer is 300 ms late stays right", async () => {
  proxy.delayReplies(300);
  await clock.measure();
  proxy.delayReplies(0);
  expect(await errorMs()).toBeLessThan(20);
});

test("a clock that has never seen a prompt answer is right from the first one on", async () => {
  proxy.delayReplies(300);
  clock = await startClock(db);
  expect(await errorMs()).toBeGreaterThan(100);
  proxy.delayReplies(0);
  await clock.measure();
  expect(await errorMs()).toBeLessThan(20);
});

test("a clock that waits for a connection to measure on stays right", async () => {
  const busy = sql`select pg_sleep(0.6)`.execute(db);
  await clock.measure();
  await busy;
  expect(await errorMs()).toBeLessThan(20);
});
