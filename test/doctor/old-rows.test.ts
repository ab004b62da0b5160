import { Client } from "pg";
import { afterAll, expect, test } from "vitest";
import { postgresChecks } from "../../src/doctor/postgres-checks.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { eventually } from "../support/eventually.ts";
import { startPostgresPair } from "../support/servers/postgres-pair.ts";

// Of its own: so many transactions, and ones that go on for so long, would be found by other tests of doctor.
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());
const { primary, standby } = stack.use(
  await startPostgresPair("asynchronous", {
    autovacuum: "off",
    max_prepared_transactions: "2",
    wal_receiver_status_interval: "1s",
  }),
);
await primary.query("create database other");
const db = openDatabase({ url: primary.url, poolSize: 1 });
stack.defer(() => db.destroy());

const look = async () => {
  const check = postgresChecks(db, 1).find((each) => each.check === "old rows");
  return await check?.look();
};

const nothing = { level: "ok", sentence: "Nothing has Postgres keep old versions of rows for long." };

async function session({ port }: { port: number }, database: string, begin: string) {
  const client = new Client({ connectionString: `postgres://callsheet@127.0.0.1:${port}/${database}` });
  // The primary goes first when a test has failed.
  client.on("error", () => {});
  await client.connect();
  await client.query(begin);
  const { rows } = await client.query<{ pid: number }>(
    "select pg_backend_pid() as pid, txid_current_snapshot()",
  );
  return { pid: Number(rows[0]?.pid), [Symbol.asyncDispose]: () => client.end() };
}

/** Whether the primary keeps rows for the sake of the standby; resolves when it has heard of it. */
async function giveFeedback(which: "on" | "off"): Promise<void> {
  await standby.query(`alter system set hot_standby_feedback = ${which}`);
  await standby.query("select pg_reload_conf()");
  await eventually(async () => {
    const rows = await primary.query("select from pg_stat_replication where backend_xmin is not null");
    expect(rows).toHaveLength(which === "on" ? 1 : 0);
  }, 10_000);
}

const snapshot = "begin isolation level repeatable read";
const write = "begin; select pg_current_xact_id()";

/** What has old rows kept, until it is disposed of, and what is said of it. */
const keepers: [string, () => Promise<AsyncDisposable & { said: string }>][] = [
  [
    "a session that reads",
    async () => {
      const reader = await session(primary, "postgres", snapshot);
      return { ...reader, said: `Process ${reader.pid} of Postgres` };
    },
  ],
  [
    "a session that writes to another database, which a later snapshot of a session of this one reaches back to",
    async () => {
      const held = new AsyncDisposableStack();
      const writer = held.use(await session(primary, "other", write));
      held.use(await session(primary, "postgres", snapshot));
      return { said: `Process ${writer.pid} of Postgres`, [Symbol.asyncDispose]: () => held.disposeAsync() };
    },
  ],
  [
    "a prepared transaction of another database",
    async () => {
      await primary.query(`${write}; prepare transaction 'left'`, { database: "other" });
      return {
        said: "The prepared transaction left",
        async [Symbol.asyncDispose]() {
          await primary.query("rollback prepared 'left'", { database: "other" });
        },
      };
    },
  ],
  [
    "a query on a standby",
    async () => {
      const held = new AsyncDisposableStack();
      held.use(await session(standby, "postgres", snapshot));
      await giveFeedback("on");
      held.defer(() => giveFeedback("off"));
      const [row] = await primary.query("select pid from pg_stat_replication");
      return {
        said: `A query on the standby of process ${String(row?.["pid"])}`,
        [Symbol.asyncDispose]: () => held.disposeAsync(),
      };
    },
  ],
];

const burn = "do $$ begin for i in 1..100000 loop perform pg_current_xact_id(); commit; end loop; end $$";

test.each(keepers)(
  "doctor names %s, and nobody once that has ended",
  async (_, hold) => {
    expect(await look()).toEqual(nothing);
    {
      await using keeper = await hold();
      expect(await look()).toEqual(nothing);
      await primary.query(burn);
      const sentence = expect.stringMatching(
        `^${keeper.said} has all versions of rows kept since 1\\d{5} transactions ago, `,
      );
      expect(await look()).toEqual({ level: "warning", sentence });
    }
    // A session is gone a little after its client.
    await eventually(async () => expect(await look()).toEqual(nothing));
  },
  60_000,
);

test("doctor names no session of another database that reads, which keeps nothing in this one", async () => {
  await using _ = await session(primary, "other", snapshot);
  await primary.query(burn);
  expect(await look()).toEqual(nothing);
}, 60_000);
