import { sql } from "kysely";
import { type Database, openDatabase } from "../connections/database.ts";
import { functions } from "../functions/functions.ts";
import { ownedTables } from "../removal.ts";

/** What replicas use over DATABASE_URL; the migrator's own tables are used over DATABASE_DIRECT_URL alone. */
const tables = [...ownedTables, "organizations", "installation"];
const views = ["all_attempts"];
const sequences = ["lease_tickets"];
const routines = Object.values(functions).map(({ name }) => name);

type Right = {
  role: string;
  schema: string;
  owner: string;
  /** What GRANT calls its kind. */
  kind: "TABLES" | "SEQUENCES" | "FUNCTIONS";
  name: string;
  privilege: string;
  isHeld: boolean;
};

/** What the role of a connection may do with Callsheet's tables. */
export type Rights = {
  readonly role: string;
  /** Why no replica could work as this role, and what to grant it; undefined if one could. */
  readonly lack: string | undefined;
  /** False of a role that may do no more than look. */
  readonly mayWrite: boolean;
};

/** What the role may do; undefined where it sees no tables of Callsheet's. */
export async function readRights(db: Database): Promise<Rights | undefined> {
  const { rows } = await sql<Right>`
    with place as (
      select relnamespace as schema, relowner as owner from pg_class where oid = to_regclass('schema_migrations')
    ), relations as (
      select pg_class.oid, relname as name, relkind as kind from pg_class join place on relnamespace = schema
    ), rights as (
      select 'TABLES' as kind, name, privilege, has_table_privilege(oid, privilege) as held
      from relations, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as privilege where name = any(${tables})
      union all select 'TABLES', name, 'SELECT', has_table_privilege(oid, 'SELECT')
      from relations where name = any(${views})
      union all select 'SEQUENCES', name, 'USAGE', case when kind = 'S' then has_sequence_privilege(oid, 'USAGE') end
      from relations where name = any(${sequences})
      union all select 'FUNCTIONS', proname, 'EXECUTE', has_function_privilege(pg_proc.oid, 'EXECUTE')
      from pg_proc join place on pronamespace = schema where proname = any(${routines})
    )
    select quote_ident(current_user) as role, schema::regnamespace::text as schema, owner::regrole::text as owner,
      kind, name, privilege, held as "isHeld"
    from rights, place order by kind desc, name, privilege`.execute(db);
  const [first] = rows;
  if (first === undefined) return undefined;
  return {
    role: first.role,
    lack: lackOf(
      first,
      rows.filter(({ isHeld }) => !isHeld),
    ),
    mayWrite: rows.some(({ privilege, isHeld }) => /INSERT|UPDATE|DELETE/.test(privilege) && isHeld),
  };
}

const grants: Record<Right["kind"], string> = {
  TABLES: "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES",
  SEQUENCES: "GRANT USAGE ON ALL SEQUENCES",
  FUNCTIONS: "GRANT EXECUTE ON ALL FUNCTIONS",
};

function lackOf({ role, schema, owner }: Right, lacking: readonly Right[]): string | undefined {
  const [one, ...others] = lacking;
  if (one === undefined) return undefined;
  const more = others.length === 0 ? "" : `, and ${others.length} other rights`;
  const toGrant = [...new Set(lacking.map(({ kind }) => kind))].map(
    (kind) => `${grants[kind]} IN SCHEMA ${schema} TO ${role}`,
  );
  return `Role ${role} (DATABASE_URL) lacks ${one.privilege} on ${one.name} in schema ${schema}${more}; role ${owner}, whose tables these are, must ${toGrant.join(", and ")}.`;
}

/** Refuses a role that may not use all that replicas use: it would find out call by call. */
export async function checkRights(databaseUrl: string): Promise<void> {
  await using db = openDatabase({ url: databaseUrl, poolSize: 1 });
  const rights = await readRights(db);
  if (rights?.lack !== undefined) throw new Error(rights.lack);
}
