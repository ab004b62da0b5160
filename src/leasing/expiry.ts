import type { Logger } from "pino";
import { jittered } from "../timing/loop.ts";
import type { Database } from "../postgres/database.ts";
import { findExpired } from "../postgres/lease-ends.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Recorder } from "./recorder.ts";

const batchSize = 1_000;
const pauseMs = 1_000;

/** Ends leases that have run out, at most a batch of them; true if there may be more. */
export async function runExpiryPass(db: Database, recorder: Recorder): Promise<boolean> {
  const expired = await findExpired(db, batchSize);
  const byOrganization = Map.groupBy(expired, ({ organizationId }) => organizationId);
  await Promise.all(
    [...byOrganization].map(([organizationId, leases]) => recorder.expire(organizationId, leases)),
  );
  return expired.length === batchSize;
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
