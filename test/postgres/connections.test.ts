import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BatchJobError, serviceBusy } from "../../src/domain/batch-job-error.ts";
import {
  type Connections,
  leastConnections,
  openConnections,
  shareOutConnections,
} from "../../src/postgres/connections.ts";
import type { Database } from "../../src/postgres/database.ts";
import { cloneDatabase } from "../support/database.ts";

let stack: AsyncDisposableStack;
let connections: Connections;
let areCommitsLost: boolean;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  areCommitsLost = false;
  const database = stack.use(await cloneDatabase());
  connections = stack.use(
    openConnections({
      url: database.url,
      sum: 10,
      onSlowCommit: () => {},
      checkCommits() {
        if (areCommitsLost) throw serviceBusy();
      },
    }),
  );
});
afterEach(() => stack.disposeAsync());

/** Takes a connection, and keeps it until it is disposed of. */
async function hold(db: Database): Promise<AsyncDisposable> {
  const taken = Promise.withResolvers<void>();
  const letGo = Promise.withResolvers<void>();
  const held = db.connection().execute(async () => {
    taken.resolve();
    await letGo.promise;
  });
  await Promise.race([taken.promise, held]);
  return {
    async [Symbol.asyncDispose]() {
      letGo.resolve();
      await held;
    },
  };
}

const answers = async (db: Database) => (await sql<{ one: number }>`select 1 as one`.execute(db)).rows;
const taken = () => Object.fromEntries(connections.usage().map((each) => [each.pool, each.taken]));

test.each([leastConnections, 10, 17, 100])("%d connections are shared out to the last one", (sum) => {
  const { background, reads, work } = shareOutConnections(sum);
  expect(background + reads + work).toBe(sum);
  expect(Math.min(background, reads, work)).toBeGreaterThanOrEqual(2);
});

describe.each(["work", "reads"] as const)("of the connections for %s", (kind) => {
  test("an organization that holds its share leaves its neighbours some, and waits for its own", async () => {
    await using all = new AsyncDisposableStack();
    const share = kind === "work" ? 2 : 1;
    const held = [];
    for (let i = 0; i < share; i += 1) held.push(all.use(await hold(connections[kind].of("greedy"))));
    const further = answers(connections[kind].of("greedy"));
    expect(await answers(connections[kind].of("neighbour"))).toEqual([{ one: 1 }]);
    expect(taken()[kind]).toBe(share);
    await held[0]?.[Symbol.asyncDispose]();
    expect(await further).toEqual([{ one: 1 }]);
  });
});

test("what reads leaves a connection to what looks keys up, and refuses who waits for long", async () => {
  await using all = new AsyncDisposableStack();
  for (const organization of ["a", "b"]) all.use(await hold(connections.reads.of(organization)));
  expect(await answers(connections.lookUps)).toEqual([{ one: 1 }]);
  await expect(answers(connections.reads.of("c"))).rejects.toThrow(BatchJobError);
  expect(taken()).toEqual({ background: 0, reads: 2, work: 0 });
});

test("two organizations that hold all they can leave a connection for work to a third", async () => {
  await using all = new AsyncDisposableStack();
  const { work } = connections;
  for (const organization of ["a", "a", "b"]) all.use(await hold(work.of(organization)));
  const further = hold(work.of("b"));
  expect(await answers(work.of("c"))).toEqual([{ one: 1 }]);
  expect(taken()["work"]).toBe(3);
  await all.disposeAsync();
  await (await further)[Symbol.asyncDispose]();
});

test("what goes on by itself leaves a connection to the starts, which callers cannot take", async () => {
  await using all = new AsyncDisposableStack();
  for (const organization of ["a", "a", "b", "c"]) all.use(await hold(connections.work.of(organization)));
  const held = [await hold(connections.background), await hold(connections.background)];
  const further = answers(connections.background);
  expect(await answers(connections.starts)).toEqual([{ one: 1 }]);
  for (const each of held) await each[Symbol.asyncDispose]();
  expect(await further).toEqual([{ one: 1 }]);
});

test("while commits do not end nothing that may write is given a connection, and reads are", async () => {
  areCommitsLost = true;
  const { starts, background, work, reads, lookUps } = connections;
  for (const db of [starts, background, work.of("a")])
    await expect(answers(db)).rejects.toThrow(BatchJobError);
  expect(await answers(reads.of("a"))).toEqual([{ one: 1 }]);
  expect(await answers(lookUps)).toEqual([{ one: 1 }]);
});

test("a statement that fails gives its connection back", async () => {
  for (let i = 0; i < 10; i += 1) {
    await expect(sql`select 1 / 0`.execute(connections.work.of("a"))).rejects.toThrow("division by zero");
  }
  expect(taken()).toEqual({ background: 0, reads: 0, work: 0 });
});
