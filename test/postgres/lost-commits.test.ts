import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Database, isPostgresUnavailable, openDatabase } from "../../src/postgres/database.ts";
import { cloneDatabase } from "../support/database.ts";
import { type Harm, type Proxy, startProxy } from "../support/proxy.ts";

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

const write = (name: string) =>
  db.transaction().execute(async (trx) => {
    await trx.insertInto("organizations").values({ name }).execute();
    return "written";
  });

const isThere = async (name: string): Promise<boolean> =>
  (await beside.selectFrom("organizations").select("id").where("name", "=", name).execute()).length === 1;

/** How the work ends, if its commit comes to harm and what follows is done then. */
async function harmed(name: string, harm: Harm, then: () => void = () => {}) {
  const { sprung } = proxy.trap(isCommit, harm);
  const [end] = await Promise.all([write(name).catch((error: unknown) => error), sprung.then(then)]);
  return end;
}

describe("a transaction whose commit", () => {
  test.each(["drop the reply", "swallow the replies"] as const)(
    "was done is known to be done, although the network did this: %s",
    async (harm) => {
      expect(await harmed(harm, harm)).toBe("written");
      expect(await isThere(harm)).toBe(true);
    },
  );

  test("did not arrive is known not to be done", async () => {
    const end = await harmed("lost", "cut the request");
    expect(isPostgresUnavailable(end)).toBe(true);
    expect(await isThere("lost")).toBe(false);
  });

  test("was done while nobody can be asked is not said to be done", async () => {
    const end = await harmed("silent", "drop the reply", () => proxy.freeze());
    expect(isPostgresUnavailable(end)).toBe(true);
    await proxy.mend();
    expect(await isThere("silent")).toBe(true);
  });
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
