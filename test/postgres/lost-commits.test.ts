import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type Database,
  isPostgresUnavailable,
  openDatabase,
} from "../../src/postgres/connections/database.ts";
import { thenCommit } from "../../src/postgres/connections/sure-commits.ts";
import { cloneDatabase } from "../support/database.ts";
import { type Harm, type Proxy, startProxy } from "../support/servers/proxy.ts";

const stack = new AsyncDisposableStack();
let proxy: Proxy;
let db: Database;
let beside: Database;
beforeAll(async () => {
  const database = stack.use(await cloneDatabase());
  proxy = stack.use(await startProxy(database.url));
  db = openDatabase({ url: proxy.url, poolSize: 2, queryTimeoutMs: 500 });
  stack.defer(() => db.destroy());
  beside = openDatabase({ url: database.url, poolSize: 1 });
  stack.defer(() => beside.destroy());
});
afterAll(() => stack.disposeAsync());

const isCommit = (request: string) => /commit\0/.test(request);

type Write = (name: string) => Promise<string>;

const thenCommitted: Write = (name) =>
  db.transaction().execute(async (trx) => {
    await trx.insertInto("organizations").values({ name }).execute();
    return "written";
  });

const committedWithIt: Write = (name) =>
  db.transaction().execute(async (trx) => {
    await sql`select 1`.execute(trx);
    await sql`insert into organizations (name) values (${name}) ${thenCommit}`.execute(trx);
    return "written";
  });

const isThere = async (name: string): Promise<boolean> =>
  (await beside.selectFrom("organizations").select("id").where("name", "=", name).execute()).length === 1;

/** How the work ends, if its commit comes to harm and what follows is done then. */
async function harmed(write: Write, name: string, harm: Harm, then: () => void = () => {}) {
  const { sprung } = proxy.trap(isCommit, harm);
  const [end] = await Promise.all([write(name).catch((error: unknown) => error), sprung.then(then)]);
  return end;
}

describe.each([
  ["came by itself", thenCommitted],
  ["came with its last statement", committedWithIt],
] as const)("a transaction whose commit %s and", (how, write) => {
  test.each(["drop the reply", "swallow the replies"] as const)(
    "was done is known to be done, although the network did this: %s",
    async (harm) => {
      const name = `${how}: ${harm}`;
      expect(await harmed(write, name, harm)).toBe("written");
      expect(await isThere(name)).toBe(true);
    },
  );

  test("did not arrive is known not to be done", async () => {
    const name = `${how}: lost`;
    const end = await harmed(write, name, "cut the request");
    expect(isPostgresUnavailable(end)).toBe(true);
    expect(await isThere(name)).toBe(false);
  });

  test("was done while nobody can be asked is not said to be done", async () => {
    const name = `${how}: silent`;
    const end = await harmed(write, name, "drop the reply", () => proxy.freeze());
    expect(isPostgresUnavailable(end)).toBe(true);
    await proxy.mend();
    expect(await isThere(name)).toBe(true);
  });
});

test("a last statement that fails is not committed, and its connection goes on", async () => {
  const one = openDatabase({ url: proxy.url, poolSize: 1 });
  await using _ = { [Symbol.asyncDispose]: () => one.destroy() };
  const failing = one.transaction().execute(async (trx) => {
    await trx.insertInto("organizations").values({ name: "not kept" }).execute();
    await sql`select 1 / (select 0) ${thenCommit}`.execute(trx);
  });
  await expect(failing).rejects.toThrow("division by zero");
  const { rows } = await sql<{
    id: string | null;
  }>`select pg_current_xact_id_if_assigned()::text as id`.execute(one);
  expect(rows).toEqual([{ id: null }]);
  expect(await isThere("not kept")).toBe(false);
});

test("a connection that owes an answer is not used again", async () => {
  const { sprung } = proxy.trap((request) => request.includes("owes"), "swallow the replies");
  const owing = db.selectFrom("organizations").select("id").where("name", "=", "owes").execute();
  await expect(owing).rejects.toThrow("Query read timeout");
  await sprung;
  for (let i = 0; i < 4; i += 1) {
    expect(await db.selectFrom("organizations").select("id").where("name", "=", "nobody").execute()).toEqual(
      [],
    );
  }
});
