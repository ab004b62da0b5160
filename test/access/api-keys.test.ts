import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { generateApiKey } from "../../src/domain/api-key.ts";
import { createApiKeys } from "../../src/access/api-keys.ts";
import type { BatchJobError } from "../../src/domain/batch-job-error.ts";
import { revokeApiKey } from "../../src/postgres/api-keys.ts";
import { makeApiKey } from "../support/api-key.ts";
import { counting } from "../support/counting.ts";
import { eventually } from "../support/eventually.ts";
import { type Parts, startParts } from "../support/parts.ts";
import { refusal } from "../support/refusal.ts";

let parts: Parts;
beforeAll(async () => {
  parts = await startParts();
});
afterAll(() => parts[Symbol.asyncDispose]());

/** Keys as a replica of its own knows them, and how many queries it has made. */
function counted() {
  const { db, asked: queries } = counting(parts.db);
  const apiKeys = createApiKeys({ db, logger: parts.logger });
  return {
    apiKeys,
    queries,
    authenticate: (key: string) => apiKeys.authenticate(`Bearer ${key}`),
    [Symbol.asyncDispose]: () => apiKeys[Symbol.asyncDispose](),
  };
}

const times = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

describe("looking keys up", () => {
  test("10,000 unknown keys cost a query for each thousand, and leave a known one known", async () => {
    await using own = counted();
    const { key, id } = await makeApiKey(parts.db, { role: "viewer" });
    // Connections for the queries that run at a time.
    await Promise.all([
      refusal(own.authenticate(generateApiKey())),
      ...times(3, () => sql`select pg_sleep(0.1)`.execute(parts.db)),
    ]);
    expect(await own.authenticate(key)).toMatchObject({ apiKeyId: id });
    const before = own.queries();
    const unknown = times(10_000, () => refusal(own.authenticate(generateApiKey())));
    const answers = await Promise.all([...unknown, own.authenticate(key)]);
    expect(answers.at(-1)).toMatchObject({ apiKeyId: id });
    expect(new Set(answers.slice(0, -1).map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(own.queries()).toBeLessThanOrEqual(before + 10 + 4);
  });

  test("unknown keys that come one after the other share queries too", async () => {
    await using own = counted();
    const began = performance.now();
    const callers = times(100, async () => {
      for (let i = 0; i < 20; i += 1) await refusal(own.authenticate(generateApiKey()));
    });
    await Promise.all(callers);
    // Fifty a second, however many are under way.
    expect(own.queries()).toBeLessThanOrEqual((performance.now() - began) / 20 + 3);
    expect(own.queries()).toBeLessThan(500);
  });

  test("a known key costs no query for a while, whoever else asks", async () => {
    await using own = counted();
    const keys = await Promise.all(times(5, () => makeApiKey(parts.db, { role: "viewer" })));
    await Promise.all(keys.map(({ key }) => own.authenticate(key)));
    const before = own.queries();
    expect(before).toBeLessThanOrEqual(2);
    for (const { key, id } of keys) expect(await own.authenticate(key)).toMatchObject({ apiKeyId: id });
    expect(own.queries()).toBe(before);
  });

  test("a key in use is looked up again while it is known, and no call waits for that", async () => {
    await using own = counted();
    const { key, id } = await makeApiKey(parts.db, { role: "viewer" });
    await own.authenticate(key);
    const before = own.queries();
    await parts.db.transaction().execute(async (trx) => {
      await sql`lock table api_keys in access exclusive mode`.execute(trx);
      while (own.queries() === before) {
        await delay(20);
        const answer = await Promise.race([own.authenticate(key), nextTurn("it waits")]);
        expect(answer).toMatchObject({ apiKeyId: id });
        // The question begins with the next turn.
        await nextTurn();
      }
    });
  });

  test("keys that come together are told apart", async () => {
    await using own = counted();
    const keys = await Promise.all(times(20, () => makeApiKey(parts.db, { role: "viewer" })));
    const answers = await Promise.allSettled(
      keys.flatMap(({ key }) => [own.authenticate(key), own.authenticate(generateApiKey())]),
    );
    expect(
      answers.map((answer) => (answer.status === "fulfilled" ? answer.value.apiKeyId : undefined)),
    ).toEqual(keys.flatMap(({ id }) => [id, undefined]));
  });
});

/** Opens something, and answers when it was ended, and as what. */
async function open(own: ReturnType<typeof counted>, key: string) {
  const { promise: ended, resolve } = Promise.withResolvers<BatchJobError>();
  const close = own.apiKeys.whileValid(await own.authenticate(key), resolve);
  return { ended, close };
}

describe("a key under which something is open", () => {
  test("ends it when it is revoked, once, and leaves others alone", async () => {
    await using own = counted();
    const [revoked, kept] = [
      await makeApiKey(parts.db, { role: "viewer" }),
      await makeApiKey(parts.db, { role: "viewer" }),
    ];
    const first = await open(own, revoked.key);
    const second = await open(own, revoked.key);
    const other = await open(own, kept.key);
    let isEnded = false;
    void other.ended.then(() => (isEnded = true));
    const began = performance.now();
    await revokeApiKey(parts.db, revoked.id);
    const [one, two] = await Promise.all([first.ended, second.ended]);
    expect(performance.now() - began).toBeLessThan(15_000);
    expect([one.reason, two.reason]).toEqual(["invalid_api_key", "invalid_api_key"]);
    expect(one).not.toBe(two);
    // What is known of the key is forgotten with it.
    expect(await refusal(own.authenticate(revoked.key))).toMatchObject({ reason: "invalid_api_key" });
    expect(isEnded).toBe(false);
    for (const { close } of [first, second, other]) close();
  });

  test("ends it when it expires", async () => {
    await using own = counted();
    const { key, id } = await makeApiKey(parts.db, { role: "worker" });
    const { ended } = await open(own, key);
    await parts.db.updateTable("api_keys").set({ expires_at: new Date() }).where("id", "=", id).execute();
    expect((await ended).reason).toBe("invalid_api_key");
  });

  test("costs one query for all from time to time, and none when nothing is open any more", async () => {
    await using own = counted();
    const keys = await Promise.all(times(10, () => makeApiKey(parts.db, { role: "viewer" })));
    const opened = await Promise.all(keys.map(({ key }) => open(own, key)));
    const before = own.queries();
    await delay(4_500);
    const looks = own.queries() - before;
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThanOrEqual(3);
    for (const { close } of opened) close();
    await eventually(async () => {
      const idle = own.queries();
      await delay(2_500);
      expect(own.queries()).toBe(idle);
    });
  });
});
