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
