import { sql } from "kysely";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "./database.ts";

/** A search has less time than other reads: others wait for its connection. */
const timeoutMs = 2_000;

/** Runs a search, as of one moment, and ends it where it takes too long. */
export async function search<T>(db: Database, work: (trx: Trx) => Promise<T>): Promise<T> {
  return await db
    .transaction()
    .setIsolationLevel("repeatable read")
    .setAccessMode("read only")
    .execute(async (trx) => {
      await sql`set local statement_timeout = ${sql.lit(timeoutMs)}`.execute(trx);
      return await work(trx);
    });
}
