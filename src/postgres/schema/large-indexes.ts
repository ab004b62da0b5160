import { type RawBuilder, sql } from "kysely";
import type { Database } from "../connections/database.ts";
import { type Waiting, until } from "./migration-lock.ts";
import type { SchemaChanges } from "./schema-range.ts";

/** 128 places of an organization's log, by which what it tells of one job is found. */
export const stretchOf = (sequence: RawBuilder<unknown>) => sql`(${sequence} >> 7)`;
const stretch = stretchOf(sql.ref("sequence"));

/*
 * Indexes of tables that may be large when they come to have them. A migration would hold up all who write such a table
 * for as long as it takes to read it. So these are built afterwards, while everybody works on.
 */
const indexes = [
  {
    after: "0027-events",
    name: "attempts_in_log",
    build: (schema: string) => sql`
      create unique index concurrently attempts_in_log on ${sql.id(schema, "attempts")} (organization_id, sequence)
      where sequence is not null`,
  },
  // Of a row of a job they have the stretch of the log that it is in, which many share, and which is kept once for all.
  {
    after: "0040-log-stretches",
    name: "attempts_by_stretch",
    build: (schema: string) => sql`
      create index concurrently attempts_by_stretch on ${sql.id(schema, "attempts")} (organization_id, job_id, ${stretch})
      where sequence is not null`,
  },
  {
    after: "0040-log-stretches",
    name: "events_by_stretch",
    build: (schema: string) => sql`
      create index concurrently events_by_stretch on ${sql.id(schema, "events")} (organization_id, batch_job_id, ${stretch})
      where batch_job_id is not null`,
  },
  // Of the key of functions/suppression_key.sql.
  {
    after: "0023-suppressed-phones",
    name: "suppressed_phones_by_key",
    build: (schema: string) => sql`
      create index concurrently suppressed_phones_by_key on ${sql.id(schema, "suppressed_phones")}
      using hash ((phone + organization_id::bigint * 2654435761))`,
  },
];

/** The lock under which they are built. Who waits for it must hold no snapshot, for which a build would wait. */
const lock = sql`hashtextextended('callsheet: large indexes of ' || current_database(), 0)`;

async function isBuilt(db: Database, schema: string, name: string): Promise<boolean> {
  const { rows } = await sql`
    select from pg_index join pg_class on pg_class.oid = indexrelid join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = ${schema} and relname = ${name} and indisvalid`.execute(db);
  return rows.length > 0;
}

/** Builds those that are not there, also where somebody was killed in the middle. One replica does, the others wait. */
export async function buildLargeIndexes(
  connection: Database,
  schema: string,
  { changes, waiting }: { changes: SchemaChanges; waiting: Waiting },
): Promise<void> {
  for (const { name, build } of indexes.filter(({ after }) => after in changes)) {
    const sentence = async () =>
      `Another replica, or a command, builds the index ${name} of the database; this one goes on once it has ended.`;
    await until(
      async () => {
        if (await isBuilt(connection, schema, name)) return true;
        const { rows } = await sql<{ isOurs: boolean }>`
          select pg_try_advisory_lock(${lock}) as "isOurs"`.execute(connection);
        if (rows[0]?.isOurs !== true) return false;
        try {
          if (await isBuilt(connection, schema, name)) return true;
          await sql`drop index concurrently if exists ${sql.id(schema, name)}`.execute(connection);
          await build(schema).execute(connection);
        } finally {
          await sql`select pg_advisory_unlock(${lock})`.execute(connection);
        }
        return await isBuilt(connection, schema, name);
      },
      { waiting, sentence },
    );
  }
}
