import { randomUUID } from "node:crypto";
import { Client } from "pg";
import { afterAll, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { startOwnServers } from "../support/servers/own-servers.ts";
import { awaitStandby } from "../support/servers/synchronous.ts";
import { startTestService } from "../support/service.ts";
import { answered, callerFor } from "./callers.ts";

const stack = new AsyncDisposableStack();
const servers = stack.use(await startOwnServers());
const replica = stack.use(
  await startTestService({
    beside: { databaseUrl: servers.postgres.url() },
    redisUrl: servers.redis.url(),
  }),
);
const operator = new Client({ connectionString: servers.postgres.url() });
await operator.connect();
stack.defer(() => operator.end());
afterAll(() => stack.disposeAsync());

const call = callerFor("grpc-js", replica);
const create = (fields: object) =>
  call(
    "createBatchJob",
    { name: "Spring campaign", fromPhoneNumberId: "pn_1", ...fields },
    { timeoutMs: 20_000 },
  );
const status = async (path: string) => (await fetch(`${replica.httpUrl}${path}`)).status;

/** Commits wait for this standby, which is not there; with none they end. */
const waitForStandby = (name: string) =>
  awaitStandby(async (text) => (await operator.query<Record<string, unknown>>(text)).rows, name);

test("while commits hang, what writes is told so, what reads is answered, and afterwards nothing is there twice", async () => {
  await answered(create({}));
  await waitForStandby("gone");
  await operator.query("set synchronous_commit = local");
  const requestIds = Array.from({ length: 8 }, () => randomUUID());
  const began = performance.now();
  const written = await Promise.all(requestIds.map((requestId) => create({ requestId })));
  const seconds = (performance.now() - began) / 1_000;
  for (const answer of written) {
    expect(answer).toMatchObject({
      refused: { code: "unavailable", message: expect.stringMatching(/does not end what is written/) },
    });
  }
  // 2 s are promised; the machine may be busy.
  expect(seconds).toBeLessThan(4);
  expect(await call("listBatchJobs", {})).toHaveProperty("ok");
  expect(await status("/readyz")).toBe(503);
  expect(await status("/healthz")).toBe(200);
  const again = performance.now();
  expect(await create({ requestId: randomUUID() })).toMatchObject({ refused: { code: "unavailable" } });
  expect((performance.now() - again) / 1_000).toBeLessThan(1);

  // Nothing is added to what hangs.
  const { rows } = await operator.query(
    "select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep'",
  );
  expect(rows[0].n).toBeLessThanOrEqual(12);

  await waitForStandby("");
  await eventually(async () => expect(await status("/readyz")).toBe(200));
  for (const requestId of requestIds) expect(await create({ requestId })).toHaveProperty("ok");
  const { batchJobs } = await answered<{ batchJobs: unknown[] }>(call("listBatchJobs", {}));
  expect(batchJobs).toHaveLength(1 + requestIds.length);
}, 90_000);

test("a commit that waits for a lock is slow, and nothing else", async () => {
  await operator.query("set synchronous_commit = on");
  await operator.query("begin");
  await operator.query("lock table batch_jobs in share mode");
  const slow = create({});
  // Longer than after which a commit is looked into.
  await operator.query("select pg_sleep(2.5)");
  expect(await status("/readyz")).toBe(200);
  await operator.query("rollback");
  expect(await slow).toHaveProperty("ok");
}, 30_000);
