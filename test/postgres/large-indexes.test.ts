import { Client } from "pg";
import { expect, test } from "vitest";
import { migrate, migrations } from "../../src/postgres/schema/migrate.ts";
import { cloneDatabase, createEmptyDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";

async function connect(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: url });
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

const isValid = async (client: Client) =>
  (await client.query("select indisvalid from pg_index where indexrelid = to_regclass('attempts_in_log')"))
    .rows;

const anAttempt = (number: number) => `
  insert into attempts (
    organization_id, job_id, number, attempt, nonce, worker_id, leased_at, expires_at, ended_at, outcome)
  values (1, gen_random_uuid(), ${number}, 1, 0, '', now(), now(), now(), 'busy')`;

test("an index that was left by a start that was killed is built anew", async () => {
  await using database = await cloneDatabase();
  await using client = await connect(database.url);
  await client.query("update pg_index set indisvalid = false where indexrelid = 'attempts_in_log'::regclass");
  await migrate(database.url);
  expect(await isValid(client)).toEqual([{ indisvalid: true }]);
});

test("while an index is built the table is written, and other starts wait", async () => {
  await using database = await cloneDatabase();
  await using client = await connect(database.url);
  await using writer = await connect(database.url);
  await client.query("drop index attempts_in_log");
  await writer.query("begin");
  await writer.query(anAttempt(1));
  const starts = Promise.all([migrate(database.url), migrate(database.url)]);
  // A build waits for those who have written before it.
  await eventually(async () => expect(await isValid(client)).toEqual([{ indisvalid: false }]));
  await client.query(anAttempt(2));
  await writer.query(anAttempt(3));
  // For longer than a migration waits for a table.
  await writer.query("select pg_sleep(1.5)");
  await writer.query("commit");
  await starts;
  expect(await isValid(client)).toEqual([{ indisvalid: true }]);
});

test("an index goes once that is there which takes its place, also where a start was killed between", async () => {
  await using database = await cloneDatabase();
  await using client = await connect(database.url);
  const indexesOf = async () =>
    (await client.query("select indexname as name from pg_indexes where tablename = 'requests' order by 1"))
      .rows;
  const whole = await indexesOf();
  expect(whole).toContainEqual({ name: "requests_by_age" });
  const old = "create index requests_created_at on requests (organization_id, created_at)";
  await client.query(old);
  await migrate(database.url);
  expect(await indexesOf()).toEqual(whole);
  await client.query(`drop index requests_by_age; ${old}`);
  await migrate(database.url);
  expect(await indexesOf()).toEqual(whole);
});

test("what was recorded before there was a log comes first in it", async () => {
  await using database = await createEmptyDatabase();
  const before = Object.fromEntries(Object.entries(migrations).filter(([name]) => name < "0027"));
  await migrate(database.url, before);
  await using client = await connect(database.url);
  await client.query("insert into organizations (name) values ('one'), ('two')");
  for (const organization of [1, 2, 1]) {
    await client.query(
      `insert into audit (organization_id, occurred_at, actor, type, request_id, data)
       values ($1, now(), 'command_line', 'organization.updated', '', '{}')`,
      [organization],
    );
  }
  await migrate(database.url);
  const { rows } = await client.query(
    "select organization_id, sequence::int, type from events order by organization_id, sequence",
  );
  const type = "organization.updated";
  expect(rows).toEqual([
    { organization_id: 1, sequence: 1, type },
    { organization_id: 1, sequence: 2, type },
    { organization_id: 2, sequence: 1, type },
  ]);
  const heads = await client.query(
    "select organization_id, sequence::int from event_heads order by organization_id",
  );
  expect(heads.rows).toEqual([
    { organization_id: 1, sequence: 2 },
    { organization_id: 2, sequence: 1 },
  ]);
});
