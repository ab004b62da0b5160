import { type SqlBool, sql } from "kysely";
import type { Database } from "./database.ts";
import type { BatchJobRow } from "./tables.ts";

/** A job, and a text that is another one after every change to its row. */
export type JobVersion = { version: string; row: BatchJobRow };

export async function readVersions(db: Database, ids: readonly string[]): Promise<Map<string, JobVersion>> {
  if (ids.length === 0) return new Map();
  const rows = await db
    .selectFrom("batch_jobs")
    .selectAll()
    .select(sql<string>`xmin::text`.as("version"))
    .where(sql<SqlBool>`id = any(${ids}::uuid[])`)
    .execute();
  return new Map(rows.map(({ version, ...row }) => [row.id, { version, row }]));
}
