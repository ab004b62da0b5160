import type { ClientBase } from "pg";
import { patiently } from "../../timing/patience.ts";

/** Settings of Postgres that hold for every statement, by their names there. */
export type Settings = Readonly<Record<string, string>>;

/*
 * A pooler may give each transaction another process of the server, and takes no settings along. So none are asked for
 * in the start of a connection, which some poolers refuse and some ignore: a connection that has a process of its own
 * gets them once, as the settings of its session, and over any other each transaction brings them along.
 */

const shared = new WeakMap<ClientBase, Settings>();

/** What a transaction over this connection must set for itself; undefined if its session has it. */
export const settingsToBring = (client: ClientBase): Settings | undefined => shared.get(client);

/** A list of expressions that set these, for the session or for the transaction. */
export const setAll = (settings: Settings, scope: "session" | "transaction"): string =>
  Object.entries(settings)
    .map(([name, value]) => `set_config('${name}', '${value}', ${scope === "transaction"})`)
    .join(", ");

/** The server process of which Postgres told this connection as it began. A pooler makes one up. */
const promisedProcess = (client: ClientBase): unknown => Reflect.get(client, "processID");

const patienceMs = 1_500;

/** Reads like that of pg. */
export const readTimeout = () => new Error("Query read timeout");

/** True if a statement was not answered in time. */
export const isReadTimeout = (error: unknown): boolean =>
  error instanceof Error && error.message === readTimeout().message;

/** As if a statement had told it: what it says passes once the address leads to the primary again. */
const standbyError = () => Object.assign(new Error("the server is a standby"), { code: "25006" });

/**
 * Sees to it that these settings hold for whatever runs over this new connection. Throws where it leads to a standby,
 * such as a primary that was deposed and has come back: it would be kept after its address has moved on.
 */
export async function settle(client: ClientBase, settings: Settings): Promise<void> {
  const asked = client.query<{ is_own: boolean; is_standby: boolean }>(
    `select is_own, case when is_own then array[${setAll(settings, "session")}] end as settings,
      pg_is_in_recovery() as is_standby
    from (select pg_backend_pid() is not distinct from $1::bigint as is_own) as process`,
    [promisedProcess(client)],
  );
  const { rows } = await patiently(patienceMs, asked, readTimeout);
  if (rows[0]?.is_standby === true) throw standbyError();
  if (rows[0]?.is_own !== true) shared.set(client, settings);
}
