import { pino } from "pino";
import { expect, test } from "vitest";
import { startConnectionWatch } from "../../src/vitals/connection-watch.ts";
import { administer, cloneDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";

test("what a look has found is in the way no more once a connection was made, until the next look", async () => {
  await using database = await cloneDatabase();
  const name = new URL(database.url).pathname.slice(1);
  await administer(`alter database ${name} allow_connections false`);
  const urls = { databaseUrl: database.url, directUrl: database.url };
  await using watch = startConnectionWatch(urls, pino({ level: "silent" }));
  const sentence = expect.stringContaining(`database "${name}" is not currently accepting connections`);
  await eventually(() => expect(watch.obstacle()).toEqual(sentence));
  watch.noteMade();
  expect(watch.obstacle()).toBeUndefined();
  expect(watch.isWell()).toBe(false);
  await eventually(() => expect(watch.obstacle()).toEqual(sentence));
});
