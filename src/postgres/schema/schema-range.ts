import { sql } from "kysely";
import type { Migration } from "kysely/migration";
import type { Database } from "../connections/database.ts";

/*
 * A version runs on a range of schemas: from the one that its own migrations make to the last one that still has all
 * that it uses. A migration that only adds leaves the end of that range open. One that takes something away names the
 * migration that a version must know so as not to miss it, and the database keeps that beside what was migrated: so a
 * version can tell whether it may run on a schema that a later one has made.
 */

/** A migration, and what it asks of those who run on what it leaves. The names of migrations are in order. */
export type SchemaChange = Migration & {
  /** The name of the last migration that a version must know. Without it, it asks no more than those before it. */
  readonly needs?: string;
};

export type SchemaChanges = Readonly<Record<string, SchemaChange>>;

const contractions = "schema_contractions";
const table = (schema: string) => sql.id(schema, contractions);

/** The migrations, each of which keeps what it asks, in the transaction that applies it. */
export const declaring = (changes: SchemaChanges, schema: string): Record<string, Migration> =>
  Object.fromEntries(
    Object.entries(changes).map(([name, { up, needs }]) => {
      if (needs === undefined) return [name, { up }];
      const upAndDeclare: Migration["up"] = async (db) => {
        await up(db);
        await sql`
          create table if not exists ${table(schema)} (name text primary key, needs text not null)`.execute(
          db,
        );
        await sql`insert into ${table(schema)} (name, needs) values (${name}, ${needs})`.execute(db);
      };
      return [name, { up: upAndDeclare }];
    }),
  );

async function isThere(db: Database, schema: string, name: string): Promise<boolean> {
  const { rows } = await sql`
    select from pg_tables where schemaname = ${schema} and tablename = ${name}`.execute(db);
  return rows.length > 0;
}

/** The name of the last migration that a version must know to run on this schema; undefined where any will do. */
export async function neededIn(db: Database, schema: string): Promise<string | undefined> {
  if (!(await isThere(db, schema, contractions))) return undefined;
  const { rows } = await sql<{ needs: string | null }>`
    select max(needs collate "C") as needs from ${table(schema)}`.execute(db);
  return rows[0]?.needs ?? undefined;
}

/**
 * True if the schema is one that a later version has made and that has all of these changes; the caller then runs on
 * it as it is. Throws if that version has taken away what this one uses.
 */
export async function isNewerSchema(
  db: Database,
  schema: string,
  migrationTable: string,
  changes: SchemaChanges,
): Promise<boolean> {
  if (!(await isThere(db, schema, migrationTable))) return false;
  const { rows } = await sql<{ name: string }>`
    select name from ${sql.id(schema, migrationTable)} order by name collate "C"`.execute(db);
  const applied = rows.map(({ name }) => name);
  const known = Object.keys(changes);
  const last = applied.at(-1);
  if (last === undefined || last in changes || known.some((name, i) => applied[i] !== name)) return false;
  const needed = await neededIn(db, schema);
  if (needed === undefined || needed in changes) return true;
  throw new Error(
    `The schema of the database (${last}) has lost what this version of Callsheet, which knows ${known.at(-1)}, uses; start one that knows ${needed}, or a newer one.`,
  );
}
