import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { type Kysely, sql } from "kysely";
import { Client } from "pg";
import { describe, expect, test } from "vitest";
import { functions, makeFunctions, markOf, versioned } from "../../src/postgres/functions/functions.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { migrate, migrations } from "../../src/postgres/schema/migrate.ts";
import type { SchemaChange } from "../../src/postgres/schema/schema-range.ts";
import { cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { root } from "../support/readme.ts";

const doing = (statement: string) => async (db: Kysely<never>) => void (await sql.raw(statement).execute(db));

const adds: SchemaChange = { up: doing("alter table batch_jobs add column added int") };
const uses: SchemaChange = { up: doing("alter table batch_jobs add column used int") };
const takesAway: SchemaChange = { up: doing("alter table batch_jobs drop column added"), needs: "9002-uses" };

/**
 * What four versions know, one after the other; the third one is the first that can do without what the fourth takes
 * away.
 */
const first = migrations;
const second = { ...first, "9001-adds": adds };
const third = { ...second, "9002-uses": uses };
const fourth = { ...third, "9003-takes-away": takesAway };
const fifth = { ...fourth, "9004-adds": { up: doing("alter table batch_jobs add column more int") } };

async function connect(url: string): Promise<Client & AsyncDisposable> {
  const client = new Client({ connectionString: url });
  client.on("error", () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}

const applied = async (client: Client): Promise<string[]> =>
  (await client.query("select name from schema_migrations order by name")).rows.map(({ name }) =>
    String(name),
  );

const functionNames = async (client: Client): Promise<string[]> =>
  (
    await client.query("select proname from pg_proc where proname ~ '_([0-9a-f]{12}|of_theirs)$' order by 1")
  ).rows.map(({ proname }) => String(proname));

const last = Object.keys(migrations).at(-1);

describe("a version", () => {
  test("runs on a schema that later ones have only added to, and leaves it as it is", async () => {
    await using database = await cloneDatabase();
    await migrate(database.url, third);
    await using client = await connect(database.url);
    await migrate(database.url, first);
    await migrate(database.url, second);
    await migrate(database.url, third);
    expect(await applied(client)).toEqual(Object.keys(third));
  });

  test("does not run on one that has lost what it uses, and one that can do without runs", async () => {
    await using database = await cloneDatabase();
    await migrate(database.url, fourth);
    await using client = await connect(database.url);
    await expect(migrate(database.url, first)).rejects.toThrow(
      `The schema of the database (9003-takes-away) has lost what this version of Callsheet, which knows ${last}, uses; start one that knows 9002-uses, or a newer one.`,
    );
    await expect(migrate(database.url, second)).rejects.toThrow("which knows 9001-adds,");
    await migrate(database.url, third);
    await migrate(database.url, fourth);
    expect(await applied(client)).toEqual(Object.keys(fourth));
  });

  test("stays refused when a later one only adds", async () => {
    await using database = await cloneDatabase();
    await migrate(database.url, fifth);
    await expect(migrate(database.url, second)).rejects.toThrow("start one that knows 9002-uses");
    await migrate(database.url, third);
  });

  test("does not run on a schema in which one of its own migrations was passed over", async () => {
    await using database = await cloneDatabase();
    await migrate(database.url, second);
    await expect(migrate(database.url, { ...first, "9000-passed-over": uses })).rejects.toThrow(
      "9001-adds is missing",
    );
  });

  test("that fails to take away leaves the range as it was", async () => {
    await using database = await cloneDatabase();
    await migrate(database.url, third);
    const failing = { ...third, "9003-fails": { up: doing("select 1 / 0"), needs: "9003-fails" } };
    await expect(migrate(database.url, failing)).rejects.toThrow("division by zero");
    await migrate(database.url, first);
  });
});

describe("beside those that work, a migration", () => {
  test("gives way to whoever has a table in use, and comes to its end", async () => {
    await using database = await cloneDatabase();
    await using holder = await connect(database.url);
    await using other = await connect(database.url);
    await holder.query("begin; select from batch_jobs");
    const migrating = migrate(database.url, second);
    const waiting = "select 1 from pg_locks where relation = 'batch_jobs'::regclass and not granted";
    await eventually(async () => expect((await other.query(waiting)).rows).toHaveLength(1));
    // It waits behind the migration, which waits for the holder, who does nothing until this is answered.
    await other.query("select from batch_jobs");
    await holder.query("commit");
    await migrating;
    expect(await applied(other)).toEqual(Object.keys(second));
  });
});

describe("the functions of a version", () => {
  const text = readFileSync(join(root, "src/postgres/functions/extend_leases.sql"), "utf8");
  const older = versioned("extend_leases", `${text}-- Older.\n`);
  const names = Object.values(functions)
    .map(({ name }) => name)
    .toSorted();

  test("stay while the schema supports it, and go when it does not", async () => {
    await using database = await cloneDatabase();
    await using client = await connect(database.url);
    const db = openDatabase({ url: database.url, poolSize: 1 });
    await makeFunctions(db, "public", { knows: "9001-adds", wanted: [older] });
    await db.destroy();
    await migrate(database.url, third);
    expect(await functionNames(client)).toEqual([...names, older.name].toSorted());
    await migrate(database.url, fourth);
    expect(await functionNames(client)).toEqual(names);
  });

  test("stay if a version that still runs calls them too, in whatever order they start", async () => {
    await using database = await cloneDatabase();
    await using client = await connect(database.url);
    await migrate(database.url, third);
    await migrate(database.url, first);
    await migrate(database.url, fourth);
    await migrate(database.url, third);
    expect(await functionNames(client)).toEqual(names);
    const { rows } = await client.query(
      "select distinct obj_description(oid, 'pg_proc') as mark from pg_proc where proname ~ '_[0-9a-f]{12}$'",
    );
    expect(rows).toEqual([{ mark: markOf("9003-takes-away") }]);
  });

  test("that somebody else has made stay, whatever they are called", async () => {
    await using database = await cloneDatabase();
    await using client = await connect(database.url);
    await client.query("create function extend_leases_of_theirs() returns int language sql as 'select 1'");
    await client.query("comment on function extend_leases_of_theirs is 'ours'");
    await migrate(database.url, fourth);
    expect(await functionNames(client)).toContain("extend_leases_of_theirs");
  });
});

/** The last migration before which replicas had to stop: those that know it tell what they can run on. */
const lastStop = "0012";

/** What these take away no version had that was released, or it is there again at once. */
const ofNobody = new Set([
  "0027-events.ts",
  "0039-jobs-by-key.ts",
  "0040-log-stretches.ts",
  "0041-phone-rows.ts",
]);

test("a migration that takes something away says what those who run on it must know", () => {
  const directory = join(root, "src/postgres/migrations");
  const silent = readdirSync(directory).filter((file) => {
    const code = readFileSync(join(directory, file), "utf8");
    const takes = /\b(drop (table|column|view|index)|rename|alter column \w+ (type|set not null))\b/i;
    // One that is added again in its place is wider than before; that it is, the upgrade test shows.
    const dropped = [...code.matchAll(/\bdrop constraint (\w+)/gi)].map(([, name]) => name);
    const isTaken = takes.test(code) || dropped.some((name) => !code.includes(`add constraint ${name} `));
    return (
      file.slice(0, 4) > lastStop &&
      isTaken &&
      !ofNobody.has(file) &&
      !/^export const needs = "\d{4}-/m.test(code)
    );
  });
  expect(silent).toEqual([]);
});

test("a migration needs one that stands before it, or itself", () => {
  const names = Object.keys(migrations);
  const wrong = Object.entries(migrations).filter(
    ([name, { needs }]) => needs !== undefined && !names.slice(0, names.indexOf(name) + 1).includes(needs),
  );
  expect(wrong).toEqual([]);
});
