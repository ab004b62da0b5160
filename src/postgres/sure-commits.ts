import { setTimeout as delay } from "node:timers/promises";
import type { PostgresPool, PostgresPoolClient } from "kysely";
import { Client, type ClientConfig, type Pool, type PoolClient, type QueryResult } from "pg";

/** A transaction as it can be asked for later, and the server process that gave it its id. */
type Begun = { readonly id: string; readonly server: string };

const begin = "begin; select pg_current_xact_id()::text as id, pg_postmaster_start_time()::text as server";

/** Only the server that gave an id is asked for it: another one may not have come so far yet, and refuse. */
const status = `
  select case when server = $2 then pg_xact_status($1::xid8) end as status, server
  from (select pg_postmaster_start_time()::text as server) as s`;

/** By then a caller has been told `unavailable`. */
const patienceMs = 1_000;
const pauseMs = 50;

const isTimeout = (error: unknown): boolean =>
  error instanceof Error && error.message.startsWith("Query read timeout");

/**
 * The pool, with commits that are sure: where the answer to a commit is lost, Postgres is asked over a new connection
 * what became of the transaction. One that was committed goes on as if the answer had come; of any other the error is
 * thrown, and stands for "not done" or "nobody knows". A connection that owes an answer is not used again.
 */
export function withSureCommits(pool: Pool, config: ClientConfig): PostgresPool {
  return {
    options: pool.options,
    connect: async () => sure(await pool.connect(), config),
    end: () => pool.end(),
  };
}

function sure(client: PoolClient, config: ClientConfig): PostgresPoolClient {
  let begun: Begun | undefined;
  let owesAnswer = false;

  async function run(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    try {
      if (sql !== "begin") return await client.query(sql, [...parameters]);
      // Two statements give two results, which the types of pg do not say.
      const results: unknown = await client.query<Begun>(begin);
      const [first, second] = Array.isArray(results) ? (results as QueryResult<Begun>[]) : [];
      begun = second?.rows[0];
      return first;
    } catch (error) {
      owesAnswer ||= isTimeout(error);
      if (sql !== "commit" || begun === undefined || !(await wasCommitted(begun, config))) throw error;
      return { command: "COMMIT", rowCount: null, rows: [] };
    }
  }

  return {
    query: run as PostgresPoolClient["query"],
    release: (destroy) => client.release(destroy === true || owesAnswer),
  };
}

/** False if it was rolled back, and if that cannot be found out in time. */
async function wasCommitted(begun: Begun, config: ClientConfig): Promise<boolean> {
  for (const deadline = performance.now() + patienceMs; performance.now() < deadline; await delay(pauseMs)) {
    const found = await look(begun, config).catch(() => undefined);
    // A server that crashed may give an id again that it had given before and of which nothing had reached its disk.
    if (found !== undefined && found.server !== begun.server) return false;
    if (found?.status === "committed") return true;
    if (found !== undefined && found.status !== "in progress") return false;
  }
  return false;
}

async function look({ id, server }: Begun, config: ClientConfig) {
  // Not from the pool: all its connections may be waiting for this very answer.
  const client = new Client(config);
  client.on("error", () => {});
  try {
    await client.connect();
    const { rows } = await client.query<{ status: string | null; server: string }>(status, [id, server]);
    return rows[0];
  } finally {
    await client.end().catch(() => {});
  }
}
