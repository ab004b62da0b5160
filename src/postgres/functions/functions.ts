import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "kysely";
import type { Database } from "../connections/database.ts";

/*
 * Each hot function is a file of SQL beside this one. Its name in the database ends in a hash of the file's text,
 * comments included, and of the names of those of ours that it calls: a start makes what is not there, and versions
 * that run side by side, or are started again, each call the functions that they were written for.
 *
 * While replicas of two versions run, nobody knows who still calls a function. So a start notes at each of its own
 * which schema its version knows, and one goes when the schema has lost what all who called it need (retire.ts). A
 * migration takes a table or a column away one version after the functions no longer name it, at the earliest.
 */

export type SqlFunction = {
  /** In its file, and in those of functions that call it. */
  readonly plainName: string;
  /** In the database. */
  readonly name: string;
  readonly definition: string;
};

const callOf = (name: string): RegExp => new RegExp(`\\b${name}\\(`, "g");

/**
 * The function that a file of SQL defines, with its version in its name. The functions that it calls stand in its text
 * by their plain names, and are made before it.
 */
export function versioned(plainName: string, text: string, calls: readonly SqlFunction[] = []): SqlFunction {
  const whole = calls.reduce((t, called) => t.replace(callOf(called.plainName), `${called.name}(`), text);
  const [head, body, ...others] = whole.split(`create function ${plainName}(`);
  if (head === undefined || body === undefined || others.length > 0) {
    throw new Error(`${plainName}.sql must say "create function ${plainName}(" once.`);
  }
  const name = `${plainName}_${createHash("sha256").update(whole).digest("hex").slice(0, 12)}`;
  return { plainName, name, definition: `${head}create function ${name}(${body}` };
}

const read = (plainName: string, calls?: readonly SqlFunction[]): SqlFunction =>
  versioned(plainName, readFileSync(join(import.meta.dirname, `${plainName}.sql`), "utf8"), calls);

const contactLine = read("contact_line");
const contactPhone = read("contact_phone");
const contactBytes = read("contact_bytes");
const isErasedLine = read("is_erased_line");
const suppressionKey = read("suppression_key");
const takeSequences = read("take_sequences");
const keptSince = read("kept_since");
const jobState = read("job_state");
const statusAtEnd = read("status_at_end");
const failureAtEnd = read("failure_at_end", [statusAtEnd]);
const contactCounts = read("contact_counts");
const writeEvents = read("write_events", [takeSequences]);
const endingData = read("ending_data", [contactCounts]);

/**
 * Read when this file is imported, and like it: our own source, once for each process. One that others call stands
 * before them, and they say so.
 */
export const functions = {
  contactLine,
  contactPhone,
  contactBytes,
  isErasedLine,
  suppressionKey,
  takeSequences,
  keptSince,
  jobState,
  statusAtEnd,
  failureAtEnd,
  contactCounts,
  writeEvents,
  endingData,
  openLeases: read("open_leases", [
    contactLine,
    contactPhone,
    contactBytes,
    isErasedLine,
    suppressionKey,
    takeSequences,
    statusAtEnd,
    failureAtEnd,
    endingData,
  ]),
  endLeases: read("end_leases", [takeSequences, statusAtEnd, failureAtEnd, endingData]),
  extendLeases: read("extend_leases"),
  takeOverLeases: read("take_over_leases", [
    contactLine,
    contactPhone,
    contactBytes,
    isErasedLine,
    suppressionKey,
  ]),
  lockForCommands: read("lock_for_commands", [keptSince, jobState]),
  writeCommands: read("write_commands", [keptSince, contactCounts, writeEvents]),
  noteEntriesRemoved: read("note_entries_removed"),
  addNewPhones: read("add_new_phones"),
  startDueJobs: read("start_due_jobs", [takeSequences, contactCounts]),
};

/** What stands in the catalogue beside a function: the last migration that those who call it know. */
export const markOf = (knows: string): string => `Callsheet: called by versions that know ${knows}`;

/** The migration in such a mark, in SQL. */
export const knownInMark = sql`
  substring(obj_description(pg_proc.oid, 'pg_proc') from '^Callsheet: called by versions that know (\\S+)$') collate "C"`;

/**
 * Makes those functions that are not there, all or none, in the schema of the tables, and marks them with the last
 * migration that this version knows. The caller holds the lock of migrations, and the tables are up to date.
 */
export async function makeFunctions(
  db: Database,
  schema: string,
  options: { knows: string; wanted?: readonly SqlFunction[] },
): Promise<void> {
  const { knows, wanted = Object.values(functions) } = options;
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ name: string; isMarked: boolean }>`
      select proname as name, coalesce(${knownInMark} >= ${knows}, false) as "isMarked"
      from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
      where nspname = ${schema} and proname = any(${wanted.map(({ name }) => name)})`.execute(trx);
    const isMarked = new Map(rows.map((row) => [row.name, row.isMarked]));
    const missing = wanted.filter(({ name }) => !isMarked.has(name));
    const unmarked = wanted.filter(({ name }) => isMarked.get(name) !== true);
    if (unmarked.length === 0) return;
    await sql`select set_config('search_path', quote_ident(${schema}), true)`.execute(trx);
    for (const { definition } of missing) await sql.raw(definition).execute(trx);
    for (const { name } of unmarked) {
      await sql`comment on function ${sql.id(schema, name)} is ${sql.lit(markOf(knows))}`.execute(trx);
    }
  });
}
