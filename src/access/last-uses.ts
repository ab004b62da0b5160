import type { Logger } from "pino";
import type { Caller } from "../domain/caller.ts";
import { noteKeyUses } from "../postgres/api-keys.ts";
import type { Database } from "../postgres/connections/database.ts";
import { jittered } from "../timing/loop.ts";
import { startServiceLoop } from "../vitals/loops.ts";

const pauseMs = 60_000;

export type LastUses = AsyncDisposable & {
  /** Has it noted that a call was made with the caller's key, which costs nothing now. */
  note(caller: Pick<Caller, "organizationId" | "apiKeyId">): void;
};

/** Writes once a minute, in one statement, which keys were used since; and once more when it is disposed. */
export function startLastUses(deps: { db: Database; logger: Logger; pauseMs?: number }): LastUses {
  const { db, logger } = deps;
  const uses = new Map<string, { organizationId: number; atMs: number }>();

  async function write(): Promise<void> {
    if (uses.size === 0) return;
    const nowMs = performance.now();
    const noted = await noteKeyUses(
      db,
      [...uses].map(([apiKeyId, { organizationId, atMs }]) => ({
        organizationId,
        apiKeyId,
        agoMs: nowMs - atMs,
      })),
    );
    // What came meanwhile, and what was locked, is written the next time.
    for (const [apiKeyId, { atMs }] of uses) if (atMs <= nowMs && noted.has(apiKeyId)) uses.delete(apiKeyId);
  }

  const writing = startServiceLoop("the writing of when keys were last used", {
    async pass() {
      await write();
      return jittered(deps.pauseMs ?? pauseMs);
    },
    retryMs: pauseMs,
    logger,
  });

  return {
    note: ({ organizationId, apiKeyId }) =>
      void uses.set(apiKeyId, { organizationId, atMs: performance.now() }),
    async [Symbol.asyncDispose]() {
      await writing[Symbol.asyncDispose]();
      // The last minute of a replica is worth no more than one try.
      await write().catch(() => {});
    },
  };
}
