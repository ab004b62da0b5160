import { sql } from "kysely";
import { Migrator } from "kysely/migration";
import { type Database, isDeadlock, isLockTimeout, openDatabase } from "../connections/database.ts";
import { makeFunctions } from "../functions/functions.ts";
import { buildLargeIndexes } from "./large-indexes.ts";
import { type Waiting, underLock, until } from "./migration-lock.ts";
import { inOwnSession } from "./own-session.ts";
import { retireFunctions } from "../functions/retire.ts";
import { type SchemaChanges, declaring, isNewerSchema, neededIn } from "./schema-range.ts";
import * as batchJobs from "../migrations/0001-batch-jobs.ts";
import * as leases from "../migrations/0002-leases.ts";
import * as liveLeases from "../migrations/0003-live-leases.ts";
import * as installation from "../migrations/0004-installation.ts";
import * as importing from "../migrations/0005-import.ts";
import * as latePhones from "../migrations/0006-late-phones.ts";
import * as contactBlocks from "../migrations/0007-contact-blocks.ts";
import * as lastAttempts from "../migrations/0008-last-attempts.ts";
import * as tickets from "../migrations/0009-tickets.ts";
import * as enteredPhones from "../migrations/0010-entered-phones.ts";
import * as installationId from "../migrations/0011-installation-id.ts";
import * as owners from "../migrations/0012-owners.ts";
import * as rates from "../migrations/0013-rates.ts";
import * as access from "../migrations/0014-access.ts";
import * as traceContext from "../migrations/0015-trace-context.ts";
import * as oneReader from "../migrations/0016-one-reader.ts";
import * as jobUpdates from "../migrations/0017-job-updates.ts";
import * as callingHours from "../migrations/0018-calling-hours.ts";
import * as pace from "../migrations/0019-pace.ts";
import * as earlierNonces from "../migrations/0020-earlier-nonces.ts";
import * as stops from "../migrations/0021-stops.ts";
import * as organizationHours from "../migrations/0022-organization-hours.ts";
import * as suppressedPhones from "../migrations/0023-suppressed-phones.ts";
import * as resumes from "../migrations/0024-resumes.ts";
import * as ends from "../migrations/0025-ends.ts";
import * as progress from "../migrations/0026-progress.ts";
import * as events from "../migrations/0027-events.ts";
import * as zoneSets from "../migrations/0028-zone-sets.ts";
import * as labels from "../migrations/0029-labels.ts";
import * as copies from "../migrations/0030-copies.ts";
import * as waitingJobs from "../migrations/0031-waiting-jobs.ts";
import * as webhooks from "../migrations/0032-webhooks.ts";
import * as history from "../migrations/0033-history.ts";
import * as rejectedRows from "../migrations/0034-rejected-rows.ts";
import * as foundPhones from "../migrations/0035-found-phones.ts";
import * as erasedPhones from "../migrations/0036-erased-phones.ts";
import * as endedAttempts from "../migrations/0037-ended-attempts.ts";
import * as jobsByKey from "../migrations/0039-jobs-by-key.ts";
import * as logStretches from "../migrations/0040-log-stretches.ts";
import * as phoneRows from "../migrations/0041-phone-rows.ts";

/** In the order of their names. One that was released is never changed. */
export const migrations: SchemaChanges = {
  "0001-batch-jobs": batchJobs,
  "0002-leases": leases,
  "0003-live-leases": liveLeases,
  "0004-installation": installation,
  "0005-import": importing,
  "0006-late-phones": latePhones,
  "0007-contact-blocks": contactBlocks,
  "0008-last-attempts": lastAttempts,
  "0009-tickets": tickets,
  "0010-entered-phones": enteredPhones,
  "0011-installation-id": installationId,
  "0012-owners": owners,
  "0013-rates": rates,
  "0014-access": access,
  "0015-trace-context": traceContext,
  "0016-one-reader": oneReader,
  "0017-job-updates": jobUpdates,
  "0018-calling-hours": callingHours,
  "0019-pace": pace,
  "0020-earlier-nonces": earlierNonces,
  "0021-stops": stops,
  "0022-organization-hours": organizationHours,
  "0023-suppressed-phones": suppressedPhones,
  "0024-resumes": resumes,
  "0025-ends": ends,
  "0026-progress": progress,
  "0027-events": events,
  "0028-zone-sets": zoneSets,
  "0029-labels": labels,
  "0030-copies": copies,
  "0031-waiting-jobs": waitingJobs,
  "0032-webhooks": webhooks,
  "0033-history": history,
  "0034-rejected-rows": rejectedRows,
  "0035-found-phones": foundPhones,
  "0036-erased-phones": erasedPhones,
  "0037-ended-attempts": endedAttempts,
  "0039-jobs-by-key": jobsByKey,
  "0040-log-stretches": logStretches,
  "0041-phone-rows": phoneRows,
};

const bookkeeping = {
  migrationTableName: "schema_migrations",
  migrationLockTableName: "schema_migrations_lock",
};

/** `server_version_num` of the oldest Postgres that will do. */
const oldestVersion = 150_000;

/**
 * Others who need a table wait behind a migration that waits for it. So it gives way after this, and where it and they
 * wait for each other, and tries again later, from the beginning.
 */
const lockPatienceMs = 1_000;
const pauseMs = 1_000;

const tableIsLocked =
  "A change of the schema waits for a table that somebody else has locked, and tries again; whoever holds it must let go.";

/** For those who wait as long as it takes, and tell nobody. */
const alone: Waiting = { signal: new AbortController().signal, waitsFor: () => {} };

/**
 * Brings the schema up to date, in one transaction, then makes the functions of this version that are not there, in
 * another. Any number of replicas may do so at once, also beside those that work; one applies, the others wait for
 * it. A schema that a newer version has made is left as it is. Refuses a Postgres that is too old, and a schema that
 * has lost what this version uses. The signal ends it, whoever is at work.
 */
export async function migrate(
  url: string,
  changes: SchemaChanges = migrations,
  waiting: Waiting = alone,
): Promise<void> {
  // A large table takes as long as it takes, for the one at work and for those who wait for it.
  const db = openDatabase({ url, poolSize: 1, statementTimeoutMs: 0, lockTimeoutMs: lockPatienceMs });
  try {
    await inOwnSession(db, { url, signal: waiting.signal }, (connection) =>
      bringUpToDate(connection, changes, waiting),
    );
  } finally {
    await db.destroy();
  }
}

async function bringUpToDate(db: Database, changes: SchemaChanges, waiting: Waiting): Promise<void> {
  await checkVersion(db);
  const schema = await schemaOf(db);
  const migrator = new Migrator({
    db,
    migrationTableSchema: schema,
    provider: { getMigrations: () => Promise.resolve(declaring(changes, schema)) },
    ...bookkeeping,
  });
  async function tryOnce(): Promise<boolean> {
    const { error } = await underLock(db, waiting, () => migrator.migrateToLatest());
    if (error === undefined) return true;
    if (isLockTimeout(error) || isDeadlock(error)) return false;
    // The migrator changes nothing where a migration has been applied that it does not know.
    if (await isNewerSchema(db, schema, bookkeeping.migrationTableName, changes)) return true;
    throw error;
  }
  await until(tryOnce, { waiting, pauseMs, sentence: async () => tableIsLocked });
  await buildLargeIndexes(db, schema, { changes, waiting });
  const knows = Object.keys(changes).at(-1) ?? "";
  await underLock(db, waiting, async () => {
    await makeFunctions(db, schema, { knows });
    await retireFunctions(db, schema, await neededIn(db, schema));
  });
}

async function checkVersion(db: Database): Promise<void> {
  const { rows } = await sql<{ server_version_num: string }>`show server_version_num`.execute(db);
  const version = Number(rows[0]?.server_version_num);
  if (version >= oldestVersion) return;
  throw new Error(
    `Postgres ${Math.floor(version / 10_000)} is too old; DATABASE_URL must name Postgres 15 or newer.`,
  );
}

/** Where our tables are, or will be: another program in the database may have a table of the same name elsewhere. */
async function schemaOf(db: Database): Promise<string> {
  const { rows } = await sql<{ schema: string }>`
    select coalesce((select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
      where pg_class.oid = to_regclass(${bookkeeping.migrationTableName})), current_schema()) as schema`.execute(
    db,
  );
  return rows[0]?.schema ?? "public";
}
