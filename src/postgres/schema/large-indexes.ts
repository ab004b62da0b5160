import { type RawBuilder, sql } from "kysely";
import type { Database } from "../connections/database.ts";
import { type Waiting, tellingWhatTakesLong, until } from "./migration-lock.ts";
import type { SchemaChanges } from "./schema-range.ts";

/** 128 places of an organization's log, by which what it tells of one job is found. */
export const stretchOf = (sequence: RawBuilder<unknown>) => sql`(${sequence} >> 7)`;
const stretch = stretchOf(sql.ref("sequence"));

type LargeIndex = {
  /** The last migration that it needs. */
  readonly after: string;
  readonly name: string;
  readonly isUnique?: boolean;
  readonly table: string;
  /** Its columns, and of which rows it is. */
  readonly of: RawBuilder<unknown>;
  /** One of the same rows, which is dropped once this one is there. */
  readonly replaces?: string;
};

/*
 * Indexes of tables that may be large when they come to have them. A migration would hold up all who write such a table
 * for as long as it takes to read it. So these are built afterwards, while everybody works on.
 */
const indexes: readonly LargeIndex[] = [
  {
    after: "0027-events",
    name: "attempts_in_log",
    isUnique: true,
    table: "attempts",
    of: sql`(organization_id, sequence) where sequence is not null`,
  },
  // Of a row of a job they have the stretch of the log that it is in, which many share, and which is kept once for all.
  {
    after: "0040-log-stretches",
    name: "attempts_by_stretch",
    table: "attempts",
    of: sql`(organization_id, job_id, ${stretch}) where sequence is not null`,
  },
  {
    after: "0040-log-stretches",
    name: "events_by_stretch",
    table: "events",
    of: sql`(organization_id, batch_job_id, ${stretch}) where batch_job_id is not null`,
  },
  // Of the key of functions/suppression_key.sql.
  {
    after: "0023-suppressed-phones",
    name: "suppressed_phones_by_key",
    table: "suppressed_phones",
    of: sql`using hash ((phone + organization_id::bigint * 2654435761))`,
  },
  // Where a vacuum has found a table empty, any of its indexes is as good as its key to a planner, and it read all of
  // an organization's requests, labels or scheduled jobs by another one for one row. These are for those alone who ask
  // by what they are for: whoever compares a column with something means no null.
  {
    after: "0012-owners",
    name: "requests_by_age",
    table: "requests",
    of: sql`(organization_id, created_at) where created_at is not null`,
    replaces: "requests_created_at",
  },
  {
    after: "0029-labels",
    name: "job_labels_of_job",
    table: "job_labels",
    of: sql`(organization_id, job_id) where job_id is not null`,
    replaces: "job_labels_by_job",
  },
  // Only a scheduled job has an entry, as the check scheduled_has_entry says.
  {
    after: "0012-owners",
    name: "batch_jobs_by_entry",
    isUnique: true,
    table: "batch_jobs",
    of: sql`(scheduled_job_id) where scheduled_job_id is not null`,
    replaces: "batch_jobs_scheduled_job_id",
  },
];

/** The lock under which they are built. Who waits for it must hold no snapshot, for which a build would wait. */
const lock = sql`hashtextextended('callsheet: large indexes of ' || current_database(), 0)`;

/** Whether there is a valid index of the name, and none of that which it replaces. */
async function isBuilt(
  db: Database,
  schema: string,
  { name, replaces = "" }: Pick<LargeIndex, "name" | "replaces">,
): Promise<boolean> {
  const { rows } = await sql<{ name: string }>`
    select relname as name
    from pg_index join pg_class on pg_class.oid = indexrelid join pg_namespace on pg_namespace.oid = relnamespace
    where nspname = ${schema} and (relname = ${name} and indisvalid or relname = ${replaces})`.execute(db);
  return rows.length === 1 && rows[0]?.name === name;
}

/**
 * Builds what is not there yet, and drops what it replaces.
 *
 * Waits for all transactions that began before, such as a dump's, for as long as they take: a build that gave way would
 * have read the table in vain.
 */
async function buildOne(
  connection: Database,
  schema: string,
  { name, isUnique = false, table, of, replaces }: LargeIndex,
): Promise<void> {
  const { rows } = await sql<{ patience: string }>`
    select current_setting('lock_timeout') as patience, set_config('lock_timeout', '0', false)`.execute(
    connection,
  );
  try {
    if (!(await isBuilt(connection, schema, { name }))) {
      await sql`drop index concurrently if exists ${sql.id(schema, name)}`.execute(connection);
      await sql`
        create ${isUnique ? sql`unique` : sql``} index concurrently ${sql.id(name)} on ${sql.id(schema, table)} ${of}`.execute(
        connection,
      );
    }
    if (replaces === undefined) return;
    await sql`drop index concurrently if exists ${sql.id(schema, replaces)}`.execute(connection);
  } finally {
    await sql`select set_config('lock_timeout', ${rows[0]?.patience ?? "0"}, false)`.execute(connection);
  }
}

/** Builds those that are not there, also where somebody was killed in the middle. One replica does, the others wait. */
export async function buildLargeIndexes(
  connection: Database,
  schema: string,
  { changes, waiting }: { changes: SchemaChanges; waiting: Waiting },
): Promise<void> {
  for (const index of indexes.filter(({ after }) => after in changes)) {
    const sentence = async () =>
      `Another replica, or a command, builds the index ${index.name} of the database; this one goes on once it has ended.`;
    await until(
      async () => {
        if (await isBuilt(connection, schema, index)) return true;
        const { rows } = await sql<{ isOurs: boolean }>`
          select pg_try_advisory_lock(${lock}) as "isOurs"`.execute(connection);
        if (rows[0]?.isOurs !== true) return false;
        try {
          await tellingWhatTakesLong(
            waiting,
            `The index ${index.name} is being built, which waits for all transactions that began before it.`,
            () => buildOne(connection, schema, index),
          );
        } finally {
          await sql`select pg_advisory_unlock(${lock})`.execute(connection);
        }
        return await isBuilt(connection, schema, index);
      },
      { waiting, sentence },
    );
  }
}
