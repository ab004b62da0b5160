import { Kysely, PostgresDialect } from "kysely";
import { type CustomTypesConfig, Pool, types as pgTypes } from "pg";
import { withSureCommits } from "./sure-commits.ts";
import type { Tables } from "./tables.ts";

export type Database = Kysely<Tables>;

const int8 = 20;
const int8Array = 1016;

/** int8 columns hold revisions and milliseconds, far below 2^53. */
const types: CustomTypesConfig = {
  getTypeParser: (oid: number, format?: "text" | "binary") => {
    if (format !== "binary" && oid === int8) return Number;
    if (format !== "binary" && oid === int8Array)
      return (text: string) => text.match(/-?\d+/g)?.map(Number) ?? [];
    return pgTypes.getTypeParser(oid, format ?? "text");
  },
};

/**
 * Every statement here is made for an index and few rows. A planner that knows a table from when it was empty, or does not
 * know it at all, would rather read or sort all of it.
 */
const plannerOptions = "-c enable_seqscan=off -c enable_bitmapscan=off";

/** Connections that stay open while nobody needs them: what comes due after a quiet hour finds them, and their plans. */
const mostKeptIdle = 4;

/**
 * Opens a pool of connections. Nothing waits for ever: connecting 1.5 s, a lock 5 s, a statement 30 s, its answer not
 * much longer, and a transaction that its owner forgot 10 s.
 */
export function openPool(options: {
  url: string;
  size: number;
  /** 0 for no limit on statements, their answers, and locks. */
  statementTimeoutMs?: number;
  queryTimeoutMs?: number;
  /** Further connections that were idle for so long are closed; 0 keeps them. */
  idleTimeoutMs?: number;
}): Pool {
  const { statementTimeoutMs = 30_000, idleTimeoutMs = 10_000 } = options;
  const { queryTimeoutMs = statementTimeoutMs === 0 ? 0 : statementTimeoutMs + 5_000 } = options;
  const pool = new Pool({
    connectionString: options.url,
    max: options.size,
    min: Math.min(options.size, mostKeptIdle),
    application_name: "callsheet",
    options: plannerOptions,
    connectionTimeoutMillis: 1_500,
    idleTimeoutMillis: idleTimeoutMs,
    lock_timeout: statementTimeoutMs === 0 ? 0 : 5_000,
    statement_timeout: statementTimeoutMs,
    query_timeout: queryTimeoutMs,
    idle_in_transaction_session_timeout: 10_000,
    keepAlive: true,
    // So that what stands between keeps an idle connection, and one that broke unseen is found out.
    keepAliveInitialDelayMillis: 10_000,
    types,
  });
  // A connection that breaks while idle leaves the pool by itself; the next query says what is wrong.
  pool.on("error", () => {});
  pool.on("connect", (client) => client.on("error", () => {}));
  return pool;
}

/** A transaction resolves if and only if it is known to be committed. */
export function overPool(pool: Pool): Database {
  const alone = {
    connectionString: pool.options.connectionString,
    application_name: "callsheet",
    connectionTimeoutMillis: 1_000,
    query_timeout: 1_000,
  };
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool: withSureCommits(pool, alone) }) });
}

/** A database over a pool of its own. Disposing waits for the connections in use. */
export const openDatabase = ({
  poolSize,
  ...options
}: Omit<Parameters<typeof openPool>[0], "size"> & { poolSize: number }): Database =>
  overPool(openPool({ ...options, size: poolSize }));

/** Node's socket errors, then SQLSTATEs and their classes, that pass by themselves. */
const passing = new Set(
  [
    "ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT ENOTFOUND EHOSTUNREACH ENETUNREACH EAI_AGAIN",
    "08 53 57P01 57P02 57P03 57014 25006 40001 40P01 55P03 25P03 25P04",
  ].flatMap((codes) => codes.split(" ")),
);

/** True if the statement failed because Postgres could not be reached or could not do it now; it may have been done. */
export function isPostgresUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.some(isPostgresUnavailable);
  const code = "code" in error && typeof error.code === "string" ? error.code : undefined;
  if (code !== undefined) return passing.has(code) || passing.has(code.slice(0, 2));
  return /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Query read timeout)/.test(
    error.message,
  );
}
