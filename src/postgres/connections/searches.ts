import { sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "./database.ts";

/** A search has less time than other reads: others wait for its connection. */
const longestMs = 2_000;

/** The call that a search is for, as its handler is told of it. */
export type SearchingCall = {
  /** Aborted once its deadline is over, or its caller has left. */
  readonly signal: AbortSignal;
  /** What is left of its deadline; undefined without one. */
  readonly timeoutMs: () => number | undefined;
};

/**
 * Runs a search, as of one moment, and ends it where it takes too long, or longer than its call has. One that nobody
 * waits for any more is not begun.
 */
export async function search<T>(
  db: Database,
  work: (trx: Trx) => Promise<T>,
  call?: SearchingCall,
): Promise<T> {
  return await db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (trx) => {
      call?.signal.throwIfAborted();
      const leftMs = Math.ceil(call?.timeoutMs() ?? longestMs);
      // To Postgres 0 is no limit.
      const timeoutMs = Math.max(1, Math.min(longestMs, leftMs));
      await sql`set local statement_timeout = ${sql.lit(timeoutMs)}`.execute(trx);
      return await work(trx);
    });
}
