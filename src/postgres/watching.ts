import { type SqlBool, sql } from "kysely";
import type { Database } from "./database.ts";
import type { BatchJobRow } from "./tables.ts";

/** A job, and a text that is another one after every change to its row. */
export type JobVersion = { version: string; row: BatchJobRow };

const version = sql<string>`xmin::text`.as("version");
const isOneOf = (ids: readonly string[]) => sql<SqlBool>`id = any(${ids}::uuid[])`;

/** The versions of those of the jobs that are there, without their rows. */
export async function readVersions(db: Database, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map();
  const rows = await db.selectFrom("batch_jobs").select(["id", version]).where(isOneOf(ids)).execute();
  return new Map(rows.map((row) => [row.id, row.version]));
}

/** Those of the jobs that are there. */
export async function readJobs(db: Database, ids: readonly string[]): Promise<Map<string, JobVersion>> {
  if (ids.length === 0) return new Map();
  const rows = await db.selectFrom("batch_jobs").selectAll().select(version).where(isOneOf(ids)).execute();
  return new Map(rows.map(({ version: found, ...row }) => [row.id, { version: found, row }]));
}
