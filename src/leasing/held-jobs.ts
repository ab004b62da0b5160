import { serviceBusy } from "../domain/batch-job-error.ts";
import type { LeaseKey } from "../domain/contacts/lease-id.ts";
import type { SharesToWaitIn } from "../postgres/connections/connections.ts";
import { isPostgresBusy } from "../postgres/connections/database.ts";
import { type Held, lockPatienceMs } from "../postgres/jobs/locks.ts";
import { coalesceByKey } from "../timing/coalesce.ts";

/** As many as a call may have. */
const mostTogether = 1_000;

/** The outcomes of work on so many leases, all of which it was kept out of if it had to wait for too long. */
export async function orHeld<O>(
  count: number,
  work: () => Promise<readonly O[]>,
): Promise<readonly (O | Held)[]> {
  try {
    return await work();
  } catch (error) {
    if (!isPostgresBusy(error)) throw error;
    return Array.from({ length: count }, (): Held => "held");
  }
}

/**
 * Does work on leases whose jobs somebody else has locked. They stand in their organization's line, which waits for the
 * job of the first and takes along whichever is free, under none of the locks that others need: however many are
 * locked, one connection waits. Whoever is kept out again comes last the next time; whose patience is over is refused
 * as busy.
 */
export function createHeldJobs<I extends { readonly key: LeaseKey }, O>(
  shares: SharesToWaitIn,
  /** Does it once the job is locked, or is not to be had for now. */
  work: (organizationId: number, items: readonly I[], jobId: string) => Promise<readonly (O | Held)[]>,
) {
  const inLine = coalesceByKey(
    (organizationId: number, items: readonly I[]) =>
      shares.inLine(organizationId, () => work(organizationId, items, items[0]?.key.jobId ?? "")),
    mostTogether,
  );

  return async function whenFree(organizationId: number, item: I): Promise<O> {
    const patienceEnds = performance.now() + lockPatienceMs;
    for (;;) {
      const outcome = await inLine(organizationId, item);
      if (outcome !== "held") return outcome;
      if (performance.now() > patienceEnds) throw serviceBusy();
    }
  };
}
