import { BatchJobError, databaseUnavailable, serviceBusy } from "../../domain/batch-job-error.ts";
import { Kysely, PostgresDialect, type PostgresPool } from "kysely";
import { type CustomTypesConfig, Pool, types as pgTypes } from "pg";
import { PatientClient } from "./patient-client.ts";
import { type TakeSeat, createPoolSeats } from "./seats.ts";
import { settle } from "./sessions.ts";
import { type Statements, withSureCommits } from "./sure-commits.ts";
import type { Tables } from "../schema/tables.ts";

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
 * Every statement here is made for an index and few rows. A planner that knows a table from when it was empty, or does
 * not know it at all, would rather read or sort all of it. Before Postgres 18, where such a plan is the only one, it
 * counts as so dear that it would be compiled each time, which takes longer than all else.
 */
const planner = { enable_seqscan: "off", enable_bitmapscan: "off", jit: "off" };

/**
 * Connections that stay open while nobody needs them: what comes due after a quiet hour finds them, and their plans.
 */
const mostKeptIdle = 4;

/** A statement that Postgres has ended by itself is answered by then. */
export const queryTimeoutOf = (options: { statementTimeoutMs?: number; queryTimeoutMs?: number }): number => {
  const { statementTimeoutMs = 30_000, queryTimeoutMs } = options;
  return queryTimeoutMs ?? (statementTimeoutMs === 0 ? 0 : statementTimeoutMs + 5_000);
};

/** For so long a caller waits for a connection of a pool. */
export const poolPatienceMs = 1_500;

/**
 * Opens a pool of connections. Nothing waits for ever: connecting 1.5 s, a lock 5 s, a statement 30 s, its answer not
 * much longer, and a transaction that its owner forgot 10 s, unless it says so. What Postgres does not time is timed
 * in patience, so that a stall of this process ends nothing.
 */
export function openPool(options: {
  url: string;
  size: number;
  /** 0 for no limit on statements, their answers, and locks. */
  statementTimeoutMs?: number;
  /** For locks alone. */
  lockTimeoutMs?: number;
  queryTimeoutMs?: number;
  /** Further connections that were idle for so long are closed; 0 keeps them. */
  idleTimeoutMs?: number;
  /** So many connections stay open while nobody needs them. */
  keptIdle?: number;
  /** How long a transaction may wait for its owner. */
  idleInTransactionMs?: number;
  /** Whether a statement may be sent before the one before it is answered; not where something is copied in. */
  pipeline?: boolean;
}): Pool {
  const { statementTimeoutMs = 30_000, idleTimeoutMs = 10_000, idleInTransactionMs = 10_000 } = options;
  const settings = {
    ...planner,
    lock_timeout: String(options.lockTimeoutMs ?? (statementTimeoutMs === 0 ? 0 : 5_000)),
    statement_timeout: String(statementTimeoutMs),
    idle_in_transaction_session_timeout: String(idleInTransactionMs),
  };
  const pool = new Pool({
    connectionString: options.url,
    max: options.size,
    min: Math.min(options.size, options.keptIdle ?? mostKeptIdle),
    application_name: "callsheet",
    Client: PatientClient,
    pipeline: options.pipeline ?? true,
    idleTimeoutMillis: idleTimeoutMs,
    // Where statements are timed in patience that comes first. This is for those that go past it.
    query_timeout: 4 * queryTimeoutOf(options),
    onConnect: (client) => settle(client, settings),
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

/**
 * What keeps a pool from another connection passes once somebody has put it right, whatever it is: a file that the URL
 * names, a certificate, a password. To who needs the connection it is a server that does not answer.
 */
const connecting = (pool: PostgresPool): PostgresPool => ({
  ...pool,
  async connect() {
    try {
      return await pool.connect();
    } catch (error) {
      if (error instanceof BatchJobError || isPostgresUnavailable(error)) throw error;
      const message = error instanceof Error ? error.message : String(error);
      throw Object.assign(new Error(message, { cause: error }), { code: "08001" });
    }
  },
});

/**
 * A transaction resolves if and only if it is known to be committed. `takeSeat` lets no more through than the pool has;
 * `onDeadlock` is told of each that a statement met.
 */
export function overPool(
  pool: Pool,
  sharing: Partial<Statements> & { takeSeat?: TakeSeat; onDeadlock?: () => void } = {},
): Database {
  const seats = createPoolSeats(pool.options.max);
  const options = { queryTimeoutMs: 0, takeSeat: () => seats.take(poolPatienceMs), ...sharing };
  const alone = { connectionString: pool.options.connectionString, application_name: "callsheet" };
  return new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: connecting(withSureCommits(pool, alone, options)) }),
    log: (event) => {
      if (event.level === "error" && isDeadlock(event.error)) sharing.onDeadlock?.();
    },
  });
}

/** A database over a pool of its own. Disposing waits for the connections in use. */
export const openDatabase = ({
  poolSize,
  ...options
}: Omit<Parameters<typeof openPool>[0], "size"> & { poolSize: number }): Database =>
  overPool(openPool({ ...options, size: poolSize }), { queryTimeoutMs: queryTimeoutOf(options) });

/** The SQLSTATE, or the code of Node's error. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

/** Node's socket errors, then SQLSTATEs and their classes, that pass by themselves. */
const passing = new Set(
  [
    "ECONNREFUSED ECONNRESET EPIPE ETIMEDOUT ENOTFOUND EHOSTUNREACH ENETUNREACH EAI_AGAIN",
    "08 53 57P01 57P02 57P03 57014 25006 40001 40P01 55P03 25P03 25P04",
  ].flatMap((codes) => codes.split(" ")),
);

/** Statements that waited for others for too long, or were given up for their sake. */
const busy = new Set(["57014", "40001", "40P01", "55P03"]);

/** True if Postgres, which answers, ended the statement since it took too long or was in another's way. */
export const isPostgresBusy = (error: unknown): boolean => busy.has(codeOf(error) ?? "");

/** True if the statement waited too long for what others have locked. */
export const isLockTimeout = (error: unknown): boolean => codeOf(error) === "55P03";

/** True if the statement and others waited for each other, and this one was given up. */
export const isDeadlock = (error: unknown): boolean => codeOf(error) === "40P01";

/** True if the statement failed because Postgres could not be reached or could not do it now; it may have been done. */
export function isPostgresUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof BatchJobError) return error.reason === "unavailable";
  if (error instanceof AggregateError) return error.errors.some(isPostgresUnavailable);
  const code = codeOf(error);
  if (code !== undefined) return passing.has(code) || passing.has(code.slice(0, 2));
  return /^(Connection terminated|timeout (exceeded when trying to connect|expired)|Client has encountered a connection error|Query read timeout)/.test(
    error.message,
  );
}

/** What a caller is told of a statement that failed through no fault in it; undefined for any other failure. */
export function refusalOf(error: unknown): BatchJobError | undefined {
  if (isPostgresBusy(error)) return serviceBusy();
  return isPostgresUnavailable(error) ? databaseUnavailable() : undefined;
}
