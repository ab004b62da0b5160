import { sql } from "kysely";
import { expect, test } from "vitest";
import { createStatement } from "../../src/postgres/connections/statement.ts";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { cloneDatabase } from "../support/database.ts";

test("a statement is built once, and brings its values each time, in and out of transactions", async () => {
  await using database = await cloneDatabase();
  await using db = openDatabase({ url: database.url, poolSize: 1 });
  let built = 0;
  const repeat = createStatement<{ word: string; times: number; list: readonly string[] }, object>((of) => {
    built += 1;
    return sql`select repeat(${of.word}::text, ${of.times}::int) as word, ${"as is"}::text as fixed,
      ${of.word}::text || array_to_string(${of.list}::text[], '') as list`;
  });
  expect(await repeat(db, { word: "ab", times: 2, list: ["c", "d"] })).toEqual([
    { word: "abab", fixed: "as is", list: "abcd" },
  ]);
  const inTransaction = db.transaction().execute((trx) => repeat(trx, { word: "e", times: 3, list: [] }));
  expect(await inTransaction).toEqual([{ word: "eee", fixed: "as is", list: "e" }]);
  expect(built).toBe(1);
});
