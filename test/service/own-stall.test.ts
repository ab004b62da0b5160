import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, expect, inject, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startReplica } from "../support/replica.ts";

// A process of its own, which is stopped while answers of Postgres are on their way to it.
const stack = new AsyncDisposableStack();
const database = stack.use(await cloneDatabase());
const replica = stack.use(
  await startReplica({
    name: "stalling",
    postgresUrl: () => database.url,
    redisUrl: () => inject("redisUrl"),
    apiKey: generateApiKey(),
    settings: { REDIS_PREFIX: `test-${randomBytes(6).toString("hex")}` },
  }),
);
afterAll(() => stack.disposeAsync());

const stallMs = 3_000;
const aJob = () => ({ name: "Spring campaign", fromPhoneNumberId: "pn_1", requestId: randomUUID() });
const isBeat = (request: string) => request.includes("select clock_timestamp() as now");

/** Calls back with the next question whether Postgres answers, as it goes out. */
const nextBeat = () =>
  new Promise<void>((resolve) => replica.postgres.onRequest((request) => isBeat(request) && resolve()));

/** Some calls of every kind, and why those that failed did. */
async function failuresOf(calls: number): Promise<string[]> {
  const { jobs, worker } = replica.clients;
  const kinds = [
    () => jobs.listBatchJobs({}),
    () => jobs.createBatchJob(aJob()),
    () => worker.leaseContacts({ workerId: "w", maxContacts: 1 }),
  ];
  const ended = await Promise.allSettled(
    Array.from({ length: calls }, (_, i) => kinds[i % kinds.length]?.()),
  );
  return ended.flatMap((end) => (end.status === "rejected" ? [ConnectError.from(end.reason).message] : []));
}

test("a replica that stands still with calls and a beat in hand answers them all when it goes on", async () => {
  expect(await failuresOf(3)).toEqual([]);
  replica.postgres.delay(50);
  const failures: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    await nextBeat();
    const calls = failuresOf(12);
    // The calls have arrived; what is asked of Postgres for them, and the beat, have not been answered.
    await nextBeat();
    replica.freeze();
    await delay(stallMs);
    replica.thaw();
    failures.push(...(await calls));
  }
  replica.postgres.delay(0);
  replica.postgres.onRequest(undefined);
  expect(failures).toEqual([]);
}, 60_000);

test("2,000 questions whether it is ready are few of Postgres, and hold up nobody", async () => {
  let asked = 0;
  replica.postgres.onRequest((request) => (asked += isBeat(request) ? 1 : 0));
  const began = performance.now();
  const ready = Array.from({ length: 100 }, async () => {
    const statuses = new Set<number>();
    for (let i = 0; i < 20; i += 1) statuses.add((await fetch(`${replica.httpUrl}/readyz`)).status);
    return [...statuses];
  });
  const [failures, statuses] = await Promise.all([failuresOf(12), Promise.all(ready)]);
  expect(failures).toEqual([]);
  expect(new Set(statuses.flat())).toEqual(new Set([200]));
  // Ten a second, and what measures the clock.
  expect(asked).toBeLessThan(((performance.now() - began) / 1_000) * 14 + 20);
  replica.postgres.onRequest(undefined);
  await eventually(async () => expect(await replica.metric("callsheet_postgres_up")).toBe(1));
}, 60_000);
