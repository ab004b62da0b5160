import { setTimeout as delay } from "node:timers/promises";
import type { PostgresPool, PostgresPoolClient } from "kysely";
import type { ClientConfig, Pool, PoolClient, QueryResult } from "pg";
import { afterPatience, patiently } from "../timing/patience.ts";
import { PatientClient } from "./patient-client.ts";
import { isOutdated, preparedName } from "./prepared.ts";
import type { TakeSeat } from "./seats.ts";
import { isReadTimeout, readTimeout, setAll, settingsToBring } from "./sessions.ts";

/** A transaction as it can be asked for later, and the server process that gave it its id. */
type Begun = { readonly id: string; readonly server: string };

/** How statements are watched. */
export type Statements = {
  /** The patience with an answer; 0 for no end of it. */
  readonly queryTimeoutMs: number;
  /** Called when what commits (a commit, or a statement by itself) has not ended after some patience. */
  readonly onSlowCommit?: () => void;
};

const idAndServer = "pg_current_xact_id()::text as id, pg_postmaster_start_time()::text as server";

/** Only the server that gave an id is asked for it: another one may not have come so far yet, and refuse. */
const status = `
  select case when server = $2 then pg_xact_status($1::xid8) end as status, server
  from (select pg_postmaster_start_time()::text as server) as s`;

/** By then a caller has been told `unavailable`. */
const patienceMs = 1_000;
const pauseMs = 50;

/** Together with the patience of what is asked then, less than callers are promised. */
const slowCommitMs = 700;

/**
 * The pool, with commits that are sure: where the answer to a commit is lost, Postgres is asked over a new connection
 * what became of the transaction. One that was committed goes on as if the answer had come; of any other the error is
 * thrown, and stands for "not done" or "nobody knows". A connection that owes an answer is not used again.
 */
export function withSureCommits(
  pool: Pool,
  config: ClientConfig,
  options: Statements & { readonly takeSeat: TakeSeat },
): PostgresPool {
  return {
    options: pool.options,
    async connect() {
      const leave = await options.takeSeat();
      try {
        return sure(await pool.connect(), config, { ...options, leave });
      } catch (error) {
        leave();
        throw error;
      }
    },
    end: () => pool.end(),
  };
}

function sure(
  client: PoolClient,
  config: ClientConfig,
  options: Statements & { leave: () => void },
): PostgresPoolClient {
  const { queryTimeoutMs, onSlowCommit, leave } = options;
  const toBring = settingsToBring(client);
  const setting = toBring === undefined ? "" : setAll(toBring, "transaction");
  let begun: Begun | undefined;
  let isOpen = false;
  let owesAnswer = false;
  let isOutOfDate = false;

  async function ask(sql: string, parameters: readonly unknown[] = []): Promise<unknown> {
    // A pooler would give the statement to a process that does not know the name.
    const name = toBring === undefined ? preparedName(sql) : undefined;
    const values = [...parameters];
    try {
      const answer = client.query(name === undefined ? { text: sql, values } : { name, text: sql, values });
      return await (queryTimeoutMs === 0 ? answer : patiently(queryTimeoutMs, answer, readTimeout));
    } catch (error) {
      owesAnswer ||= isReadTimeout(error);
      isOutOfDate ||= name !== undefined && isOutdated(error);
      throw error;
    }
  }

  /** Asks for what commits. */
  async function askToCommit(sql: string, parameters: readonly unknown[] = []): Promise<unknown> {
    if (onSlowCommit === undefined) return await ask(sql, parameters);
    const callOff = afterPatience(slowCommitMs, onSlowCommit);
    try {
      return await ask(sql, parameters);
    } finally {
      callOff();
    }
  }

  async function begin(sql: string): Promise<unknown> {
    isOpen = true;
    const columns = setting === "" ? idAndServer : `${idAndServer}, ${setting}`;
    // Two statements give two results, which the types of pg do not say.
    const results = await ask(`${sql}; select ${columns}`);
    const [first, second] = Array.isArray(results) ? (results as QueryResult<Begun>[]) : [];
    begun = second?.rows[0];
    return first;
  }

  async function commit(): Promise<unknown> {
    const committing = begun;
    isOpen = false;
    begun = undefined;
    try {
      return await askToCommit("commit");
    } catch (error) {
      if (committing === undefined || !(await wasCommitted(committing, config))) throw error;
      return { command: "COMMIT", rowCount: null, rows: [] };
    }
  }

  /** A statement by itself, with the settings that it must bring along; no more sure than any other. */
  async function runAlone(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    await ask(`begin; select ${setting}`);
    try {
      const result = await ask(sql, parameters);
      await askToCommit("commit");
      return result;
    } catch (error) {
      if (!owesAnswer) await ask("rollback").catch(() => {});
      throw error;
    }
  }

  async function run(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    if (/^(begin|start transaction)\b/.test(sql)) return await begin(sql);
    if (sql === "commit") return await commit();
    if (sql === "rollback") isOpen = false;
    else if (!isOpen) return await (setting === "" ? askToCommit : runAlone)(sql, parameters);
    return await ask(sql, parameters);
  }

  return {
    query: run as PostgresPoolClient["query"],
    release(destroy) {
      client.release(destroy === true || owesAnswer || isOutOfDate);
      leave();
    },
  };
}

/** False if it was rolled back, and if that cannot be found out in time. */
async function wasCommitted(begun: Begun, config: ClientConfig): Promise<boolean> {
  const over = new AbortController();
  const callOff = afterPatience(patienceMs, () => over.abort());
  try {
    for (; !over.signal.aborted; await delay(pauseMs)) {
      const found = await look(begun, config).catch(() => undefined);
      // A server that crashed may give an id again that it had given before and of which nothing had reached its disk.
      if (found !== undefined && found.server !== begun.server) return false;
      if (found?.status === "committed") return true;
      if (found !== undefined && found.status !== "in progress") return false;
    }
    return false;
  } finally {
    callOff();
  }
}

async function look({ id, server }: Begun, config: ClientConfig) {
  // Not from the pool: all its connections may be waiting for this very answer.
  const client = new PatientClient(config);
  client.on("error", () => {});
  const ask = async () => {
    await client.connect();
    const { rows } = await client.query<{ status: string | null; server: string }>(status, [id, server]);
    return rows[0];
  };
  try {
    return await patiently(patienceMs, ask(), readTimeout);
  } finally {
    void client.end().catch(() => {});
  }
}
