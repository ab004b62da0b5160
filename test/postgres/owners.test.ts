import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { functions } from "../../src/postgres/functions/functions.ts";
import { openStaging } from "../../src/postgres/contacts/staging.ts";
import { type Parts, startParts } from "../support/parts.ts";

/*
 * Every row says whose it is, and whose it is comes first in every key and index: so one organization can be moved,
 * counted or deleted by itself, and a statement that names it touches nothing of another's.
 */

/** Tables whose rows are no organization's. */
const nobodys: Record<string, string> = {
  installation: "what all replicas of one database agree on",
  organizations: "a row of it is an organization, and its id is the number that all others have",
  schema_contractions: "what a version must know to go on, after the first contraction",
  schema_migrations: "the migrator's",
  schema_migrations_lock: "the migrator's",
};

/** Indexes of other tables that begin with something else. */
const exceptions: Record<string, string> = {
  api_keys_hash_key: "whose a key is, is what its hash is looked up for",
  batch_jobs_by_entry: "an entry of the schedule is a random id, and says nothing else",
  batch_jobs_due: "the schedule, and what fills it again, is one for all organizations",
  batch_jobs_resume_at: "what looks for jobs that are to go on looks for all organizations at once",
  batch_jobs_end_at: "what looks for jobs whose end has come looks for all organizations at once",
  leases_expires_at: "what looks for leases that have run out looks for all organizations at once",
  zone_sets_next_look: "what looks for hours that are over looks for all organizations at once",
  suppressed_phones_by_key: "it is of a key that has the organization in it",
  webhook_endpoints_holder: "a replica looks for all that it delivers to at once",
};

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

type Index = { table: string; index: string; isUnique: boolean; columns: string[] };

/** The indexes of tables, the temporary ones of this session or those that stay. */
const indexesOf = async (db: Parts["db"], persistence: "p" | "t"): Promise<Index[]> => {
  const { rows } = await sql<Index>`
    select c.relname as table, i.indexrelid::regclass::text as index, i.indisunique as "isUnique", array(
      select pg_get_indexdef(i.indexrelid, n, true) from generate_series(1, i.indnkeyatts) as n
    ) as columns
    from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relpersistence = ${persistence} and pg_table_is_visible(c.oid)
      and c.relnamespace <> 'pg_catalog'::regnamespace
    order by 1, 2`.execute(db);
  return rows;
};

type Column = { table: string; kind: string; column: string; type: string; isNullable: boolean };

const ownersOf = async (db: Parts["db"], persistence: "p" | "t"): Promise<Column[]> => {
  const { rows } = await sql<Column>`
    select c.relname as table, c.relkind as kind, a.attname as column, a.atttypid::regtype::text as type,
      not a.attnotnull as "isNullable"
    from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attname = 'organization_id'
    where c.relkind in ('r', 'p', 'v', 'm') and c.relpersistence = ${persistence} and pg_table_is_visible(c.oid)
      and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    order by 1`.execute(db);
  return rows;
};

test("every table and view says whose its rows are, in four bytes", async () => {
  const columns = await ownersOf(parts.db, "p");
  const owned = columns.filter(({ table }) => !(table in nobodys));
  expect(owned.filter(({ kind }) => kind === "v").map(({ table }) => table)).toEqual([
    "all_attempts",
    "current_contacts",
  ]);
  expect(owned.filter(({ type }) => type !== "integer")).toEqual([]);
  expect(owned.filter(({ kind, isNullable }) => kind !== "v" && isNullable)).toEqual([]);
  const others = columns.filter(({ column }) => column === null).map(({ table }) => table);
  expect(others.filter((table) => !(table in nobodys))).toEqual([]);
});

test("every key and every index begins with whose the row is, but for those that have a reason", async () => {
  const indexes = (await indexesOf(parts.db, "p")).filter(({ table }) => !(table in nobodys));
  const others = indexes.filter(({ columns }) => columns[0] !== "organization_id");
  expect(others.map(({ index }) => index)).toEqual(Object.keys(exceptions).toSorted());
});

test("a table or a key that does not say so is seen", async () => {
  const seen: unknown[] = [];
  const undone = parts.db.transaction().execute(async (trx) => {
    await sql`create table strays (id int primary key, organization_id int)`.execute(trx);
    await sql`create table orphans (id int)`.execute(trx);
    seen.push(...(await indexesOf(trx, "p")).filter(({ table }) => table === "strays"));
    seen.push(...(await ownersOf(trx, "p")).filter(({ table }) => ["strays", "orphans"].includes(table)));
    throw new Error("undone");
  });
  await expect(undone).rejects.toThrow("undone");
  expect(seen).toEqual([
    { table: "strays", index: "strays_pkey", isUnique: true, columns: ["id"] },
    { table: "orphans", kind: "r", column: null, type: null, isNullable: null },
    { table: "strays", kind: "r", column: "organization_id", type: "integer", isNullable: true },
  ]);
});

test("a file's staging tables say whose it is, and so do their keys", async () => {
  await using staging = await openStaging(parts.databaseUrl, parts.caller.organizationId);
  const columns = await ownersOf(staging.db, "t");
  expect(columns).toHaveLength(3);
  expect(columns.filter(({ type, isNullable }) => type !== "integer" || isNullable)).toEqual([]);
  const indexes = await indexesOf(staging.db, "t");
  expect(indexes.map(({ columns: [first] }) => first)).toEqual(["organization_id"]);
  await staging.stage("1\t2\t14155550100\n", "");
  const { rows } = await sql`select * from ${staging.tables.phones}`.execute(staging.db);
  expect(rows).toEqual([
    { organization_id: parts.caller.organizationId, position: 1, line: 2, phone: 14_155_550_100 },
  ]);
});

describe("the function", () => {
  // What is due is started by its entry, whoever it belongs to; a line is found in its block, and nowhere else, and a
  // phone in its line; a row of a job says whose it is; the others reckon from what they are given.
  const {
    startDueJobs: _ofAll,
    contactLine: _line,
    contactPhone: _phone,
    contactBytes: _bytes,
    isErasedLine: _isErased,
    contactCounts: _counts,
    jobState: _state,
    keptSince: _since,
    statusAtEnd: _status,
    failureAtEnd: _failure,
    endingData: _ending,
    ...owned
  } = functions;
  test.each(Object.values(owned).map(({ name }) => name))("%s takes the organization first", async (name) => {
    const { rows } = await sql`
      select proargnames[1] as name, proargtypes[0]::regtype::text as type from pg_proc where proname = ${name}`.execute(
      parts.db,
    );
    expect(rows).toEqual([{ name: "organization", type: "integer" }]);
  });
});
