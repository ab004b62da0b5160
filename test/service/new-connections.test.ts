import { Writable } from "node:stream";
import { Client } from "pg";
import { pino } from "pino";
import { afterAll, beforeEach, describe, expect, inject, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { startService } from "../../src/service.ts";
import { eventually } from "../support/eventually.ts";
import { startPostgresServer } from "../support/servers/postgres-servers.ts";
import { answered, callerFor } from "./callers.ts";

/* A replica at work on a Postgres that takes no new connection from it any more, and keeps those that there are. */

const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const server = stack.use(await startPostgresServer({ settings: { max_connections: "40" } }));
const place = `Postgres at 127.0.0.1:${server.port}`;
const trusting = "host all callsheet 127.0.0.1/32 trust\n";
const asking = `${trusting}host all all 127.0.0.1/32 scram-sha-256\n`;

/** Longer than between two looks. */
const patienceMs = 20_000;

async function admit(rules: string): Promise<void> {
  server.write("pg_hba.conf", rules);
  await server.query("select pg_reload_conf()");
}

beforeEach(async () => {
  await admit(asking);
  await server.query("drop database if exists calls with (force)");
  for (const role of ["app", "mover"]) {
    await server.query(`drop role if exists ${role}`);
    await server.query(`create role ${role} login password 'first'`);
  }
  await server.query("grant app to mover");
  await server.query("create database calls owner app");
  await server.query("alter role mover in database calls set role = app");
});

const urlOf = (role: string) => `postgres://${role}:first@127.0.0.1:${server.port}/calls`;

/** A replica whose commands and reads have been called once, so that it has connections for each. */
async function start({ directRole = "app" } = {}) {
  await using made = new AsyncDisposableStack();
  const lines: { level: number; msg: string }[] = [];
  const log = new Writable({
    write(chunk, _, done) {
      lines.push(JSON.parse(String(chunk)) as (typeof lines)[number]);
      done();
    },
  });
  const apiKey = generateApiKey();
  const replica = made.use(
    await startService({
      databaseUrl: urlOf("app"),
      databaseDirectUrl: urlOf(directRole),
      databasePoolSize: 10,
      redisUrl: inject("redisUrl"),
      redisPrefix: `test-${apiKey.slice(-12)}`,
      host: "127.0.0.1",
      port: 0,
      grpcPort: 0,
      bootstrapApiKey: apiKey,
      shutdownTimeoutMs: 5_000,
      logger: pino({}, log),
    }),
  );
  const httpUrl = `http://127.0.0.1:${replica.port}`;
  const call = callerFor("plain fetch", { apiKey, httpUrl, grpcUrl: `http://127.0.0.1:${replica.grpcPort}` });
  const page = async (path: string) => {
    const response = await fetch(`${httpUrl}${path}`);
    return { status: response.status, body: await response.text() };
  };
  const use = () =>
    Promise.all([
      answered(call("createBatchJob", { name: "Spring campaign", fromPhoneNumberId: "pn_1" })),
      answered(call("listBatchJobs", {})),
    ]);
  await use();
  const running = made.move();
  return {
    use,
    page,
    /** What it has said of new connections, in order. */
    told: () => lines.map(({ msg }) => msg).filter((msg) => /new connection/i.test(msg)),
    connectable: async () =>
      /^callsheet_postgres_connectable (\d)$/m.exec((await page("/metrics")).body)?.[1],
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

const cannot = (sentence: string) => `No new connection to Postgres can be used. ${sentence}`;
const canAgain = (variable = "DATABASE_URL") => `New connections to Postgres can be made again (${variable})`;

/** Ends the connections of the pools, and leaves those with which the replica looks at Postgres itself. */
const endPools = () =>
  server.query(`select pg_terminate_backend(pid) from pg_stat_activity
    where usename = 'app' and query not like 'select clock_timestamp() as now%'`);

type Change = { how: () => Promise<unknown>; back: () => Promise<unknown>; sentence: string };

const anotherPassword: Change = {
  how: () => server.query("alter role app password 'second'"),
  back: () => server.query("alter role app password 'first'"),
  sentence: `${place} (DATABASE_URL) refuses the password of role app; it must be the right one, with # / ? @ % in it written as %23 %2F %3F %40 %25.`,
};

const changes: Record<string, Change> = {
  "its password is another one": anotherPassword,
  "pg_hba.conf has no line for it": {
    how: () => admit(trusting),
    back: () => admit(asking),
    sentence: `${place} (DATABASE_URL) does not let role app into database calls without TLS; the URL must end with ?sslmode=verify-full, or its pg_hba.conf have a line for them.`,
  },
  "its role has all the connections that it may have": {
    how: () => server.query("alter role app connection limit 1"),
    back: () => server.query("alter role app connection limit -1"),
    sentence: `${place} (DATABASE_URL) has no connection left (too many connections for role "app"); raise that limit, or lower DATABASE_POOL_SIZE.`,
  },
};

describe.each(Object.entries(changes))("while %s, a replica", (_, { how, back, sentence }) => {
  test("works on the connections that it has, is ready, and says once why it gets no others", async () => {
    await using replica = await start();
    await how();
    // Connections that nobody uses end after a while, and there is no way to others.
    await eventually(async () => {
      await replica.use();
      expect(replica.told()).toEqual([cannot(sentence)]);
    }, patienceMs);
    expect(await replica.connectable()).toBe("0");
    await replica.use();
    expect(await replica.page("/readyz")).toEqual({ status: 200, body: "ready\n" });
    await back();
    await eventually(() => expect(replica.told()).toEqual([cannot(sentence), canAgain()]), patienceMs);
    expect(await replica.connectable()).toBe("1");
  }, 60_000);
});

test("where others have all the connections that the server may have, a replica says so", async () => {
  const sentence = `${place} (DATABASE_URL) has no connection left; raise its max_connections, or lower DATABASE_POOL_SIZE.`;
  await using replica = await start();
  await using others = new AsyncDisposableStack();
  // Also those that the replica gives back meanwhile.
  const takeAll = async () => {
    for (;;) {
      const client = new Client({ connectionString: urlOf("mover") });
      client.on("error", () => {});
      await client.connect();
      others.defer(() => client.end());
    }
  };
  await eventually(async () => {
    await expect(takeAll()).rejects.toMatchObject({ code: "53300" });
    expect(replica.told()).toContain(cannot(sentence));
  }, patienceMs);
}, 60_000);

test("a replica that has lost its connections and gets none is not ready, says why, and is ready with its first new one", async () => {
  const { how, back, sentence } = anotherPassword;
  await using replica = await start();
  await how();
  await endPools();
  await eventually(
    async () =>
      expect(await replica.page("/readyz")).toEqual({ status: 503, body: `not ready: ${sentence}\n` }),
    patienceMs,
  );
  await back();
  await eventually(replica.use, patienceMs);
  expect(await replica.page("/readyz")).toEqual({ status: 200, body: "ready\n" });
}, 60_000);

test("what is in the way of DATABASE_DIRECT_URL alone is said, and leaves the replica ready", async () => {
  const sentence = `${place} (DATABASE_DIRECT_URL) refuses the password of role mover; it must be the right one, with # / ? @ % in it written as %23 %2F %3F %40 %25.`;
  await using replica = await start({ directRole: "mover" });
  await server.query("alter role mover password 'second'");
  await eventually(() => expect(replica.told()).toEqual([cannot(sentence)]), patienceMs);
  expect(await replica.connectable()).toBe("0");
  await endPools();
  await eventually(() => replica.use(), patienceMs);
  expect(await replica.page("/readyz")).toEqual({ status: 200, body: "ready\n" });
  await server.query("alter role mover password 'first'");
  await eventually(
    () => expect(replica.told()).toEqual([cannot(sentence), canAgain("DATABASE_DIRECT_URL")]),
    patienceMs,
  );
}, 60_000);
