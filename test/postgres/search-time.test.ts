import { sql } from "kysely";
import { expect, test } from "vitest";
import { openDatabase, refusalOf } from "../../src/postgres/connections/database.ts";
import { search } from "../../src/postgres/connections/searches.ts";
import { useFreshParts } from "../support/fresh.ts";

const freshParts = useFreshParts();

const anybody = { organizationId: 1 };

const timeout = sql<{ value: string }>`select current_setting('statement_timeout') as value`;

test("a search is ended before other reads would be, as busy, and leaves the connection as it was", async () => {
  await using parts = await freshParts();
  await parts.db.connection().execute(async (db) => {
    const before = await timeout.execute(db);
    const over = { searches: { of: () => db }, lookUps: parts.db };
    expect((await search(over, anybody, (trx) => timeout.execute(trx))).rows).toEqual([{ value: "2s" }]);
    const failure = await search(over, anybody, (trx) => sql`select pg_sleep(60)`.execute(trx)).catch(
      (error: unknown) => error,
    );
    expect(refusalOf(failure)?.reason).toBe("unavailable");
    expect((await timeout.execute(db)).rows).toEqual(before.rows);
  });
});

test("a search writes nothing", async () => {
  await using parts = await freshParts();
  const writing = search(parts.reads, anybody, (trx) => sql`delete from batch_jobs`.execute(trx));
  await expect(writing).rejects.toThrow("read-only");
});

test("a search that nobody waits for any more is not begun, and leaves its connection to others", async () => {
  await using parts = await freshParts();
  const left = new Error("its caller has left");
  const signal = AbortSignal.abort(left);
  let isBegun = false;
  const searching = search(parts.reads, { ...anybody, signal }, async () => void (isBegun = true));
  await expect(searching).rejects.toBe(left);
  expect(isBegun).toBe(false);
  expect((await search(parts.reads, anybody, (trx) => timeout.execute(trx))).rows).toEqual([{ value: "2s" }]);
});

test("a search is over only after what calls it off, which would end what its connection does next", async () => {
  await using parts = await freshParts();
  await using lookUps = openDatabase({ url: parts.databaseUrl, poolSize: 1 });
  const leaving = new AbortController();
  const order: string[] = [];
  const searching = await lookUps.connection().execute(async () => {
    const left = search({ ...parts.reads, lookUps }, { ...anybody, signal: leaving.signal }, async () =>
      leaving.abort(),
    );
    void left.then(() => order.push("over"));
    // More than it needs to end.
    for (let round = 0; round < 20; round += 1) await timeout.execute(parts.db);
    order.push("may be called off");
    return { left };
  });
  await searching.left;
  expect(order).toEqual(["may be called off", "over"]);
});
