import { randomBytes } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { openDatabase } from "../../src/postgres/connections/database.ts";
import { cloneDatabase } from "./database.ts";
import { type Parts, startParts } from "./parts.ts";
import { removeKeysUnder } from "./redis-keys.ts";

/**
 * One database for the tests of a file, which is much quicker than one for each. Answers a function that empties it and
 * starts a replica on it, with a Redis prefix of its own; tests that use it must not run at the same time.
 */
export function useFreshParts() {
  const stack = new AsyncDisposableStack();
  let databaseUrl = "";
  beforeAll(async () => {
    databaseUrl = stack.use(await cloneDatabase()).url;
  });
  afterAll(() => stack.disposeAsync());

  return async (options: Omit<Parameters<typeof startParts>[0], "beside"> = {}): Promise<Parts> => {
    await empty(databaseUrl);
    const prefix = `test-${randomBytes(6).toString("hex")}`;
    const parts = await startParts({ ...options, beside: { databaseUrl, prefix } });
    return {
      ...parts,
      async [Symbol.asyncDispose]() {
        await removeKeysUnder(parts.redis, prefix);
        await parts[Symbol.asyncDispose]();
      },
    };
  };
}

async function empty(url: string): Promise<void> {
  const db = openDatabase({ url, poolSize: 1 });
  for (const table of [
    "attempts",
    "leases",
    "retries",
    "contact_blocks",
    "suppressed_phones",
    "contact_phones",
    "batch_jobs",
    "deleted_jobs",
    "requests",
    "webhook_deliveries",
    "webhook_endpoints",
  ] as const) {
    await db.deleteFrom(table).execute();
  }
  await db.updateTable("organizations").set({ dialing: 0, suppressed_phones: 0 }).execute();
  await db.destroy();
}
