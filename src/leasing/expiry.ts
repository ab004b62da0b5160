import type { Logger } from "pino";
import { jittered } from "../timing/loop.ts";
import type { Database } from "../postgres/database.ts";
import { findExpired } from "../postgres/lease-ends.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Recorder } from "./recorder.ts";

const batchSize = 1_000;
const pauseMs = 1_000;

/**
 * Ends leases that have run out, at most a batch of them beside those of jobs that somebody else has locked, which are
 * passed by; true if there may be more.
 */
export async function runExpiryPass(db: Database, recorder: Recorder): Promise<boolean> {
  const passedBy = new Set<string>();
  for (;;) {
    const expired = await findExpired(db, batchSize, [...passedBy]);
    const byOrganization = Map.groupBy(expired, ({ organizationId }) => organizationId);
    const held = await Promise.all(
      [...byOrganization].map(([organizationId, leases]) => recorder.expire(organizationId, leases)),
    );
    if (expired.length < batchSize) return false;
    if (held.flat().length === 0) return true;
    for (const id of held.flat()) passedBy.add(id);
  }
}

/** Ends leases that have run out, every second until disposed. Every replica does; each lease ends once. */
export function startExpiry(deps: { db: Database; recorder: Recorder; logger: Logger }): AsyncDisposable {
  const { db, recorder, logger } = deps;
  return startServiceLoop("the expiry of leases", {
    pass: async () => ((await runExpiryPass(db, recorder)) ? 0 : jittered(pauseMs)),
    retryMs: pauseMs,
    logger,
  });
}
