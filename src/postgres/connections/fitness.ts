import { createLoneClient } from "./lone-client.ts";
import { checkUrlFiles } from "./url-files.ts";

/** A connection may have to be made through a tunnel, with TLS and a slow name server. */
const connectTimeoutMs = 5_000;

/** The setting that a URL comes from. */
export type UrlVariable = "DATABASE_URL" | "DATABASE_DIRECT_URL";

/** What a first look tells, whatever tables there are. */
type Look = {
  role: string;
  database: string;
  encoding: string;
  isStandby: boolean;
  isReadOnly: boolean;
  searchPath: string;
  schema: string | null;
  mayCreate: boolean | null;
  hasTables: boolean;
  mayStage: boolean;
};

const look = `
  select current_user as "role", current_database() as "database", current_setting('server_encoding') as "encoding",
    pg_is_in_recovery() as "isStandby", current_setting('transaction_read_only') = 'on' as "isReadOnly",
    current_setting('search_path') as "searchPath", current_schema() as "schema",
    has_schema_privilege(current_schema(), 'create') as "mayCreate",
    to_regclass('schema_migrations') is not null as "hasTables",
    has_database_privilege(current_database(), 'temporary') as "mayStage"`;

/** `isBesideDirect` says of DATABASE_URL that another one, DATABASE_DIRECT_URL, makes the tables and stages files. */
export type Use = { readonly isBesideDirect: boolean };

/**
 * Connects, and looks whether the service can work there. `obstacleOf` says what that which it throws means. The signal
 * ends it.
 */
export async function checkDatabase(
  url: string,
  variable: UrlVariable = "DATABASE_URL",
  use: Use = { isBesideDirect: false },
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  checkUrlFiles(url, variable);
  const client = createLoneClient(url, connectTimeoutMs);
  const giveUp = () => void client.connection.stream.destroy();
  signal?.addEventListener("abort", giveUp);
  try {
    await client.connect();
    const { rows } = await client.query<Look>(look);
    const fault = rows[0] && faultOf(rows[0], variable, use);
    if (fault !== undefined) throw new Error(fault);
  } finally {
    signal?.removeEventListener("abort", giveUp);
    await client.end().catch(() => {});
  }
}

function faultOf(found: Look, variable: UrlVariable, { isBesideDirect }: Use): string | undefined {
  const { role, database, schema } = found;
  const where = `database ${database} (${variable})`;
  if (found.encoding !== "UTF8") {
    return `The ${where} has the encoding ${found.encoding}, which cannot hold every name; make one with ENCODING 'UTF8' TEMPLATE template0.`;
  }
  if (found.isStandby) {
    return `The ${where} is a standby, which takes no writes; ${variable} must name the primary.`;
  }
  if (found.isReadOnly) {
    return `The ${where} takes no writes from role ${role}, for default_transaction_read_only is on; switch it off for this role and database.`;
  }
  if (!found.mayStage && !isBesideDirect) {
    return `Role ${role} may not make temporary tables in ${where}, which hold files of contacts on their way in; GRANT TEMPORARY ON DATABASE ${database} TO ${role}.`;
  }
  if (found.hasTables) return undefined;
  if (schema === null) {
    return `The search_path of role ${role} in ${where}, ${found.searchPath}, names no schema that is there and that it may use; create one, or GRANT USAGE, CREATE on one of them TO ${role}.`;
  }
  if (found.mayCreate === true || isBesideDirect) return undefined;
  return `Role ${role} may not create tables in schema ${schema} of ${where}; GRANT CREATE ON SCHEMA ${schema} TO ${role}, or give it a schema of its own.`;
}
