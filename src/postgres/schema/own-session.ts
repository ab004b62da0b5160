import { sql } from "kysely";
import { createLoneClient } from "../connections/lone-client.ts";
import type { Database } from "../connections/database.ts";

const patienceMs = 5_000;

/**
 * Does the work over one connection. The signal ends the process of Postgres that serves it, whatever it is at: what it
 * has not committed is undone, and its locks are free.
 */
export async function inOwnSession<T>(
  db: Database,
  { url, signal }: { url: string; signal: AbortSignal },
  work: (connection: Database) => Promise<T>,
): Promise<T> {
  return await db.connection().execute(async (connection) => {
    const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(connection);
    signal.throwIfAborted();
    const { promise: ended, reject } = Promise.withResolvers<never>();
    // Also where Postgres has become so silent that it does not say that it has ended it.
    const end = () => void endProcess(url, rows[0]?.pid).finally(() => reject(signal.reason));
    signal.addEventListener("abort", end, { once: true });
    try {
      return await Promise.race([work(connection), ended]);
    } finally {
      signal.removeEventListener("abort", end);
    }
  });
}

async function endProcess(url: string, pid: number | undefined): Promise<void> {
  const client = createLoneClient(url, patienceMs);
  try {
    await client.connect();
    await client.query("select pg_terminate_backend($1)", [pid]);
  } catch {
    // Where Postgres cannot be reached, there is nobody to be told.
  } finally {
    await client.end().catch(() => {});
  }
}
