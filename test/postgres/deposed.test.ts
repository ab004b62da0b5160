import { sql } from "kysely";
import { expect, test } from "vitest";
import { isPostgresUnavailable, openDatabase } from "../../src/postgres/connections/database.ts";
import { eventually } from "../support/eventually.ts";
import { startPostgresPair } from "../support/servers/postgres-pair.ts";
import { startProxy } from "../support/servers/proxy.ts";

test("a primary that was deposed and comes back is not worked with, and left once its address leads elsewhere", async () => {
  await using pair = await startPostgresPair("asynchronous");
  await pair.primary.query("create table marks (n int)");
  await pair.standbyHasAll();
  await using address = await startProxy(pair.url);
  await using db = openDatabase({ url: address.url, poolSize: 3 });
  const read = () => sql`select n from marks`.execute(db);
  const write = () => sql`insert into marks values (1)`.execute(db);
  await write();
  await pair.standbyHasAll();
  await pair.failOver();
  await eventually(write);

  await pair.withDeposed(async () => {
    await address.mend();
    const work = [read, write, read, write, read, write];
    const ends = await Promise.all(work.map((one) => one().catch(isPostgresUnavailable)));
    expect(ends).toEqual(work.map(() => true));
  });
  // The way to the deposed one is open all the while.
  for (let i = 0; i < 6; i += 1) await write();
  expect((await read()).rows).toHaveLength(8);
});
