import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "pino";
import { jittered } from "../timing/loop.ts";
import { afterPatience } from "../timing/patience.ts";
import type { Database } from "../postgres/connections/database.ts";
import { findExpired } from "../postgres/leasing/lease-ends.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import type { Recorder } from "./recorder.ts";

const batchSize = 1_000;
const pauseMs = 1_000;

/** A pass waits no longer for one organization, whose row somebody may hold. */
const patienceMs = 250;

/**
 * Ends leases that have run out, at most a batch of them beside those of jobs that somebody else has locked, which are
 * passed by; true if there may be more. Those of busy organizations are left alone.
 */
export async function runExpiryPass(
  db: Database,
  { expire }: Pick<Recorder, "expire">,
  busy: Pick<ReadonlyMap<number, unknown>, "keys"> = new Map<number, unknown>(),
): Promise<boolean> {
  const passedBy = new Set<string>();
  for (;;) {
    const except = { jobIds: [...passedBy], organizationIds: [...busy.keys()] };
    const expired = await findExpired(db, batchSize, except);
    const byOrganization = Map.groupBy(expired, ({ organizationId }) => organizationId);
    const held = await Promise.all(
      [...byOrganization].map(([organizationId, leases]) => expire(organizationId, leases)),
    );
    if (expired.length < batchSize) return false;
    if (held.flat().length === 0) return true;
    for (const id of held.flat()) passedBy.add(id);
  }
}

/** Ends leases for passes that wait for no organization for long, and that none of them fails. */
function createPatientExpiry({ recorder, logger }: { recorder: Pick<Recorder, "expire">; logger: Logger }) {
  const busy = new Map<number, Promise<string[]>>();

  async function expireAll(...[organizationId, leases]: Parameters<Recorder["expire"]>): Promise<string[]> {
    try {
      return await recorder.expire(organizationId, leases);
    } catch (error) {
      logger.warn({ err: error }, "leases of an organization could not be ended; the next passes try again");
      await delay(pauseMs);
      return [];
    } finally {
      busy.delete(organizationId);
    }
  }

  return {
    /** The organizations whose leases are being ended. */
    busy: busy as ReadonlyMap<number, Promise<string[]>>,
    /** Answers the jobs that were passed by, none if that takes long. */
    async expire(...[organizationId, leases]: Parameters<Recorder["expire"]>): Promise<string[]> {
      const late = Promise.withResolvers<string[]>();
      const callOff = afterPatience(patienceMs, () => late.resolve([]));
      const ended = expireAll(organizationId, leases);
      busy.set(organizationId, ended);
      return await Promise.race([ended, late.promise]).finally(callOff);
    },
  };
}

/** Ends leases that have run out, every second until disposed. Every replica does; each lease ends once. */
export function startExpiry(deps: {
  db: Database;
  recorder: Pick<Recorder, "expire">;
  logger: Logger;
}): AsyncDisposable {
  const { db, logger } = deps;
  const { busy, expire } = createPatientExpiry(deps);
  const passes = startServiceLoop("the expiry of leases", {
    pass: async () => ((await runExpiryPass(db, { expire }, busy)) ? 0 : jittered(pauseMs)),
    retryMs: pauseMs,
    logger,
  });
  return {
    async [Symbol.asyncDispose]() {
      await passes[Symbol.asyncDispose]();
      await Promise.all(busy.values());
    },
  };
}
