import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import type { Database } from "../database.ts";

/*
 * Each hot function is a file of SQL beside this one. Its name in the database ends in a hash of the file's text, comments
 * included: a start makes what is not there, and versions that run side by side, or are started again, each call the
 * functions that they were written for.
 *
 * Nothing here drops a function, since nobody knows who still calls it: a replica that lost one of its own could lease
 * nothing more. What no version calls any more is a row of pg_proc. Whoever wants it gone drops all of them while no
 * replica runs; the next start makes its own again. A migration takes a table or a column away one version after the
 * functions no longer name it, at the earliest.
 */

export type SqlFunction = {
  /** In the database. */
  readonly name: string;
  readonly definition: string;
};

/** The function that a file of SQL defines, with its version in its name. */
export function versioned(plainName: string, text: string): SqlFunction {
  const [head, body, ...others] = text.split(`create function ${plainName}(`);
  if (head === undefined || body === undefined || others.length > 0) {
    throw new Error(`${plainName}.sql must say "create function ${plainName}(" once.`);
  }
  const name = `${plainName}_${createHash("sha256").update(text).digest("hex").slice(0, 12)}`;
  return { name, definition: `${head}create function ${name}(${body}` };
}

const read = (plainName: string): SqlFunction =>
  versioned(plainName, readFileSync(join(import.meta.dirname, `${plainName}.sql`), "utf8"));

/** Read when this file is imported, and like it: our own source, once for each process. */
export const functions = {
  openLeases: read("open_leases"),
  endLeases: read("end_leases"),
  extendLeases: read("extend_leases"),
  takeOverLeases: read("take_over_leases"),
  lockForCommands: read("lock_for_commands"),
  writeCommands: read("write_commands"),
  noteEntriesRemoved: read("note_entries_removed"),
  startDueJobs: read("start_due_jobs"),
};

/**
 * Makes those functions that are not there, all or none, in the schema of the tables. The caller holds the lock of
 * migrations, and the tables are up to date.
 */
export async function makeFunctions(
  db: Database,
  schema: string,
  wanted: readonly SqlFunction[] = Object.values(functions),
): Promise<void> {
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ name: string }>`
      select proname as name from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
      where nspname = ${schema} and proname = any(${wanted.map(({ name }) => name)})`.execute(trx);
    const found = new Set(rows.map(({ name }) => name));
    const missing = wanted.filter(({ name }) => !found.has(name));
    if (missing.length === 0) return;
    await sql`select set_config('search_path', quote_ident(${schema}), true)`.execute(trx);
    for (const { definition } of missing) await sql.raw(definition).execute(trx);
  });
}
