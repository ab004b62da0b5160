import { sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Connections } from "./connections.ts";

/** A search has less time than other reads: others wait for its connection. */
const timeoutMs = 2_000;

/** The connections of searches, and one over which they are called off. */
export type Searching = Pick<Connections, "searches" | "lookUps">;

/**
 * Runs a search, as of one moment, and ends it where it takes too long, and once the signal says that nobody waits for
 * it any more: its call is over, or its caller has left.
 */
export async function search<T>(
  { searches, lookUps }: Searching,
  { organizationId, signal }: { organizationId: number; signal?: AbortSignal | undefined },
  work: (trx: Trx) => Promise<T>,
): Promise<T> {
  return await searches
    .of(organizationId)
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (trx) => {
      const { rows } = await sql<{ process: number }>`
        select pg_backend_pid() as process, set_config('statement_timeout', ${String(timeoutMs)}, true)`.execute(
        trx,
      );
      const cancel = () => sql`select pg_cancel_backend(${rows[0]?.process})`.execute(lookUps);
      return await whileAwaited(signal, () => work(trx), cancel);
    });
}

/**
 * Does the work, and calls it off once the signal is given. That has come to its end before this does: it ends whatever
 * the server's process is at, which the next transaction may have got by then.
 */
async function whileAwaited<T>(
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
  cancel: () => Promise<unknown>,
): Promise<T> {
  signal?.throwIfAborted();
  let cancelling: Promise<unknown> | undefined;
  // Where it fails the work ends by its time.
  const callOff = () => void (cancelling = cancel().catch(() => {}));
  signal?.addEventListener("abort", callOff);
  try {
    return await work();
  } finally {
    signal?.removeEventListener("abort", callOff);
    await cancelling;
  }
}
