import { sql } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import type { Database } from "./database.ts";
import * as batchJobs from "./migrations/0001-batch-jobs.ts";
import * as leases from "./migrations/0002-leases.ts";
import * as importing from "./migrations/0003-import.ts";

const migrations: Record<string, Migration> = {
  "0001-batch-jobs": batchJobs,
  "0002-leases": leases,
  "0003-import": importing,
};

/** Brings the schema up to date. Any number of replicas may call it at once; one applies, the others wait for it. */
export async function migrate(db: Database): Promise<void> {
  const { rows } = await sql<{ version: string }>`show server_version_num`.execute(db);
  const version = Number(Object.values(rows[0] ?? {})[0]);
  if (version < 150_000) {
    throw new Error(
      `Postgres ${Math.floor(version / 10_000)} is too old; DATABASE_URL must name Postgres 15 or newer.`,
    );
  }
  const migrator = new Migrator({
    db,
    provider: { getMigrations: () => Promise.resolve(migrations) },
    migrationTableName: "schema_migrations",
    migrationLockTableName: "schema_migrations_lock",
  });
  const { error } = await migrator.migrateToLatest();
  if (error !== undefined) throw error;
}
