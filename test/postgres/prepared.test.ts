import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { type Database, openDatabase } from "../../src/postgres/connections/database.ts";
import { often } from "../../src/postgres/connections/prepared.ts";
import { beforeAllJobs } from "../../src/domain/jobs/job-id.ts";
import { findCandidates, nextReadyAt } from "../../src/postgres/leasing/candidates.ts";
import { cloneDatabase } from "../support/database.ts";

/** A database over one connection. */
async function openOne() {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await cloneDatabase());
  const db = openDatabase({ url: database.url, poolSize: 1 });
  stack.defer(() => db.destroy());
  const opened = stack.move();
  return { db, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

const preparedOver = async (db: Database) => {
  const { rows } = await sql<{ statement: string }>`select statement from pg_prepared_statements`.execute(db);
  return rows.map(({ statement }) => statement.trim());
};

const double = async (db: Database, n: number) =>
  (await sql<{ twice: number }>`${often} select 2 * ${n}::int as twice`.execute(db)).rows[0]?.twice;

describe("a statement that runs often", () => {
  test("is prepared once for its connection, in and out of transactions, and others are not", async () => {
    await using one = await openOne();
    expect(await double(one.db, 1)).toBe(2);
    expect(await double(one.db, 2)).toBe(4);
    expect(await one.db.transaction().execute((trx) => double(trx, 3))).toBe(6);
    await sql`select ${1}::int`.execute(one.db);
    expect(await preparedOver(one.db)).toEqual(["/* often */ select 2 * $1::int as twice"]);
  });

  test("is planned for good where it looks for contacts to lease, and for when there are some next", async () => {
    await using one = await openOne();
    const choice = { afterJobId: beforeAllJobs, onlyJobIds: [], limit: 32 };
    // After five times Postgres keeps a plan, unless another one for these parameters would be cheaper.
    for (let times = 0; times < 8; times += 1) {
      await findCandidates(one.db, 1, choice);
      await nextReadyAt(one.db, 1, times);
    }
    const { rows } = await sql<{ kept: number }>`
      select generic_plans::int as kept from pg_prepared_statements`.execute(one.db);
    expect(rows).toEqual([{ kept: 3 }, { kept: 3 }]);
  });

  test("that the tables have changed under fails once, and its connection is not used again", async () => {
    await using one = await openOne();
    await sql`create table changing (number int)`.execute(one.db);
    const read = () => sql`${often} select number from changing`.execute(one.db);
    await read();
    await sql`alter table changing alter column number type text`.execute(one.db);
    await expect(read()).rejects.toThrow("cached plan must not change result type");
    expect((await read()).rows).toEqual([]);
  });

  test("that somebody has discarded fails once, and its connection is not used again", async () => {
    await using one = await openOne();
    await double(one.db, 1);
    await sql`deallocate all`.execute(one.db);
    await expect(double(one.db, 1)).rejects.toThrow("does not exist");
    expect(await double(one.db, 2)).toBe(4);
  });
});
