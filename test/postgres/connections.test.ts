import { sql } from "kysely";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { BatchJobError, serviceBusy } from "../../src/domain/batch-job-error.ts";
import {
  type Connections,
  leastConnections,
  openConnections,
  shareOutConnections,
} from "../../src/postgres/connections/connections.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
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

/** As many connections as a replica has unless told otherwise. */
const openLarger = async () => {
  const database = stack.use(await cloneDatabase());
  return openConnections({ url: database.url, sum: 16, onSlowCommit: () => {}, checkCommits: () => {} });
};

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
    for (let i = 0; i < share; i += 1) held.push(all.use(await hold(connections[kind].of(1))));
    const further = answers(connections[kind].of(1));
    expect(await answers(connections[kind].of(2))).toEqual([{ one: 1 }]);
    expect(taken()[kind]).toBe(share);
    await held[0]?.[Symbol.asyncDispose]();
    expect(await further).toEqual([{ one: 1 }]);
  });
});

test("what reads leaves a connection to what looks keys up, and refuses who waits for long", async () => {
  await using all = new AsyncDisposableStack();
  for (const organization of [1, 2]) all.use(await hold(connections.reads.of(organization)));
  expect(await answers(connections.lookUps)).toEqual([{ one: 1 }]);
  await expect(answers(connections.reads.of(3))).rejects.toThrow(BatchJobError);
  expect(taken()).toEqual({ background: 0, reads: 2, work: 0 });
});

describe("a search that goes on for long", () => {
  test("leaves connections to other reads, whoever else searches", async () => {
    await using larger = await openLarger();
    const over = Promise.withResolvers<void>();
    const searchFor = async (organization: number) => {
      await using _ = await hold(larger.searches.of(organization));
      await over.promise;
    };
    const searches = [1, 1, 2, 3].map(searchFor);
    for (const organization of [1, 2, 3]) {
      expect(await answers(larger.reads.of(organization))).toEqual([{ one: 1 }]);
    }
    await using _ = await hold(larger.reads.of(1));
    expect(await answers(larger.reads.of(2))).toEqual([{ one: 1 }]);
    over.resolve();
    await Promise.all(searches);
  });

  test("is followed by the one of another organization, however many its own wants", async () => {
    await using larger = await openLarger();
    const searching = await hold(larger.searches.of(1));
    const order: number[] = [];
    const further = [1, 1, 2].map(async (organization) => {
      await answers(larger.searches.of(organization));
      order.push(organization);
    });
    await searching[Symbol.asyncDispose]();
    await Promise.all(further);
    expect(order.indexOf(2)).toBeLessThan(2);
  });
});

test("two organizations that hold all they can leave a connection for work to a third", async () => {
  await using all = new AsyncDisposableStack();
  const { work } = connections;
  for (const organization of [1, 1, 2]) all.use(await hold(work.of(organization)));
  const further = hold(work.of(2));
  expect(await answers(work.of(3))).toEqual([{ one: 1 }]);
  expect(taken()["work"]).toBe(3);
  await all.disposeAsync();
  await (await further)[Symbol.asyncDispose]();
});

test("what goes on by itself leaves a connection to the starts, which callers cannot take", async () => {
  await using all = new AsyncDisposableStack();
  for (const organization of [1, 1, 2, 3]) all.use(await hold(connections.work.of(organization)));
  const held = [await hold(connections.background), await hold(connections.background)];
  const further = answers(connections.background);
  expect(await answers(connections.starts)).toEqual([{ one: 1 }]);
  for (const each of held) await each[Symbol.asyncDispose]();
  expect(await further).toEqual([{ one: 1 }]);
});

test("while commits do not end nothing that may write is given a connection, and reads are", async () => {
  areCommitsLost = true;
  const { starts, background, work, reads, lookUps } = connections;
  for (const db of [starts, background, work.of(1)]) await expect(answers(db)).rejects.toThrow(BatchJobError);
  expect(await answers(reads.of(1))).toEqual([{ one: 1 }]);
  expect(await answers(lookUps)).toEqual([{ one: 1 }]);
});

test("a statement that fails gives its connection back", async () => {
  for (let i = 0; i < 10; i += 1) {
    await expect(sql`select 1 / 0`.execute(connections.work.of(1))).rejects.toThrow("division by zero");
  }
  expect(taken()).toEqual({ background: 0, reads: 0, work: 0 });
});
