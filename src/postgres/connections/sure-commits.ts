import { setTimeout as delay } from "node:timers/promises";
import { type PostgresPool, type PostgresPoolClient, sql } from "kysely";
import type { ClientConfig, Pool, PoolClient, QueryResult } from "pg";
import { afterPatience, patiently } from "../../timing/patience.ts";
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

const lastMark = "/* then commit */";

/**
 * Stands at the end of the last statement of a transaction, with which its commit is sent along. Whether it is to be
 * committed is for the statement to say, which fails if not; its answer can be lost although all was done.
 */
export const thenCommit = sql.raw(lastMark);

const isLast = (text: string): boolean => text.trimEnd().endsWith(lastMark);

/** Together with the patience of what is asked then, less than callers are promised. */
const slowCommitMs = 700;

/**
 * The pool, with commits that are sure: where the answer to a commit is lost, Postgres is asked over a new connection
 * what became of the transaction. One that was committed goes on as if the answer had come; of any other the error is
 * thrown, and stands for "not done" or "nobody knows". A connection that owes an answer is not used again.
 *
 * A transaction is begun with its first statement, in one round trip.
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
  /** What begins the transaction, until its first statement takes it along. */
  let unsent: string | undefined;
  let begun: Begun | undefined;
  let isOpen = false;
  /** The commit that went with the last statement. */
  let committing: Promise<unknown> | undefined;
  let owesAnswer = false;
  let isOutOfDate = false;

  async function ask(text: string, parameters: readonly unknown[] = []): Promise<unknown> {
    // A pooler would give the statement to a process that does not know the name.
    const name = toBring === undefined ? preparedName(text) : undefined;
    const values = [...parameters];
    try {
      const answer = client.query(name === undefined ? { text, values } : { name, text, values });
      return await (queryTimeoutMs === 0 ? answer : patiently(queryTimeoutMs, answer, readTimeout));
    } catch (error) {
      owesAnswer ||= isReadTimeout(error);
      isOutOfDate ||= name !== undefined && isOutdated(error);
      throw error;
    }
  }

  /** Asks for what commits. */
  async function askToCommit(text: string, parameters: readonly unknown[] = []): Promise<unknown> {
    if (onSlowCommit === undefined) return await ask(text, parameters);
    const callOff = afterPatience(slowCommitMs, onSlowCommit);
    try {
      return await ask(text, parameters);
    } finally {
      callOff();
    }
  }

  async function begin(text: string): Promise<void> {
    const columns = setting === "" ? idAndServer : `${idAndServer}, ${setting}`;
    // Two statements give two results, which the types of pg do not say.
    const results = await ask(`${text}; select ${columns}`);
    const [, second] = Array.isArray(results) ? (results as QueryResult<Begun>[]) : [];
    begun = second?.rows[0];
  }

  async function commit(): Promise<unknown> {
    const asked = begun;
    begun = undefined;
    try {
      return await askToCommit("commit");
    } catch (error) {
      if (asked === undefined || !(await wasCommitted(asked, config))) throw error;
      return nothing("COMMIT");
    }
  }

  /** Asks for the first and for the second at once. What the first comes to is heard of first. */
  async function inOneGo<T>(first: () => Promise<unknown>, second: () => Promise<T>): Promise<T> {
    const sent = inOneWrite(client, first, second);
    const [one] = await Promise.allSettled(sent);
    if (one.status === "rejected") throw one.reason;
    return await sent[1];
  }

  async function askAndCommit(text: string, parameters: readonly unknown[]): Promise<unknown> {
    const answer = ask(text, parameters);
    // Of a statement that failed, this is the rollback.
    const ended = askToCommit("commit");
    ended.catch(() => {});
    const result = await answer;
    await ended;
    return result;
  }

  /** A statement by itself, with the settings that it must bring along; no more sure than any other. */
  const runAlone = (text: string, parameters: readonly unknown[]): Promise<unknown> =>
    inOneGo(
      () => ask(`begin; select ${setting}`),
      () => askAndCommit(text, parameters),
    );

  /** The last statement of a transaction, and the commit with it. */
  async function runLast(text: string, parameters: readonly unknown[]): Promise<unknown> {
    const [answer, ended] = inOneWrite(client, () => ask(text, parameters), commit);
    committing = ended;
    ended.catch(() => {});
    try {
      return await answer;
    } catch (error) {
      // Both answers may be lost of what was done. A commit after a statement that failed is a rollback, and says so.
      const result = (await ended.catch(() => undefined)) as QueryResult | undefined;
      if (result?.command !== "COMMIT") throw error;
      return nothing(result.command);
    }
  }

  async function runWithin(text: string, parameters: readonly unknown[]): Promise<unknown> {
    const beginning = unsent;
    unsent = undefined;
    if (isLast(text)) {
      // Nobody could find out what became of a commit that was asked for before its transaction has its id.
      if (beginning !== undefined) await begin(beginning);
      return await runLast(text, parameters);
    }
    if (beginning === undefined) return await ask(text, parameters);
    return await inOneGo(
      () => begin(beginning),
      () => ask(text, parameters),
    );
  }

  async function end(how: "commit" | "rollback"): Promise<unknown> {
    const [asked, isUnsent] = [committing, unsent !== undefined];
    isOpen = false;
    committing = unsent = undefined;
    if (how === "commit") return isUnsent ? nothing("COMMIT") : await (asked ?? commit());
    begun = undefined;
    // It has ended with its last statement, or with its connection.
    if (asked !== undefined) await asked.catch(() => {});
    return isUnsent || asked !== undefined || owesAnswer ? nothing("ROLLBACK") : await ask("rollback");
  }

  async function run(text: string, parameters: readonly unknown[]): Promise<unknown> {
    if (text === "commit" || text === "rollback") return await end(text);
    if (/^(begin|start transaction)\b/.test(text)) {
      isOpen = true;
      unsent = text;
      return nothing("BEGIN");
    }
    if (isOpen) return await runWithin(text, parameters);
    return await (setting === "" ? askToCommit : runAlone)(text, parameters);
  }

  return {
    query: run as PostgresPoolClient["query"],
    release(destroy) {
      client.release(destroy === true || owesAnswer || isOutOfDate);
      leave();
    },
  };
}

/** Asks for both, the second whatever comes of the first, and in one packet where the connection may. */
function inOneWrite<A, B>(client: PoolClient, first: () => Promise<A>, second: () => Promise<B>) {
  if (!client.pipeline) {
    const asked = first();
    return [asked, asked.then(second, second)] as const;
  }
  const { stream } = client.connection;
  stream.cork();
  try {
    return [first(), second()] as const;
  } finally {
    stream.uncork();
  }
}

const nothing = (command: string) => ({ command, rowCount: null, rows: [] });

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
