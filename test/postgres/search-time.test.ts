import { sql } from "kysely";
import { expect, test } from "vitest";
import { refusalOf } from "../../src/postgres/connections/database.ts";
import { search } from "../../src/postgres/connections/searches.ts";
import { useFreshParts } from "../support/fresh.ts";

const freshParts = useFreshParts();

const timeout = sql<{ value: string }>`select current_setting('statement_timeout') as value`;

test("a search is ended before other reads would be, as busy, and leaves the connection as it was", async () => {
  await using parts = await freshParts();
  await parts.db.connection().execute(async (db) => {
    const before = await timeout.execute(db);
    expect((await search(db, (trx) => timeout.execute(trx))).rows).toEqual([{ value: "2s" }]);
    const failure = await search(db, (trx) => sql`select pg_sleep(60)`.execute(trx)).catch(
      (error: unknown) => error,
    );
    expect(refusalOf(failure)?.reason).toBe("unavailable");
    expect((await timeout.execute(db)).rows).toEqual(before.rows);
  });
});

test("a search writes nothing", async () => {
  await using parts = await freshParts();
  const writing = search(parts.db, (trx) => sql`delete from batch_jobs`.execute(trx));
  await expect(writing).rejects.toThrow("read-only");
});

const never = new AbortController().signal;

test.each([
  { leftMs: 150.2, value: "151ms" },
  { leftMs: 60_000, value: "2s" },
  { leftMs: undefined, value: "2s" },
  // A limit of 0 is none.
  { leftMs: 0, value: "1ms" },
  { leftMs: -5, value: "1ms" },
])("a search has no more time than its call, of whose deadline $leftMs ms are left", async (row) => {
  await using parts = await freshParts();
  const call = { signal: never, timeoutMs: () => row.leftMs };
  const read = await search(parts.db, (trx) => timeout.execute(trx), call);
  expect(read.rows).toEqual([{ value: row.value }]);
});

test("a search that nobody waits for any more is not begun, and leaves its connection to others", async () => {
  await using parts = await freshParts();
  const left = new Error("its caller has left");
  const call = { signal: AbortSignal.abort(left), timeoutMs: () => undefined };
  let isBegun = false;
  const searching = search(parts.db, async () => void (isBegun = true), call);
  await expect(searching).rejects.toBe(left);
  expect(isBegun).toBe(false);
  expect((await search(parts.db, (trx) => timeout.execute(trx))).rows).toEqual([{ value: "2s" }]);
});
