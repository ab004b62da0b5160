import { sql } from "kysely";
import type { Database } from "../connections/database.ts";
import { knownInMark } from "./functions.ts";

/**
 * Drops the functions that only versions called which do not know this migration, and so cannot run any more. One
 * without a mark stays. The caller holds the lock of migrations.
 */
export async function retireFunctions(
  db: Database,
  schema: string,
  needed: string | undefined,
): Promise<void> {
  if (needed === undefined) return;
  await db.transaction().execute(async (trx) => {
    const { rows } = await sql<{ name: string }>`
      select proname as name from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
      where nspname = ${schema} and ${knownInMark} < ${needed}`.execute(trx);
    if (rows.length === 0) return;
    // Together, for one may be of use to another.
    await sql`drop function ${sql.join(rows.map(({ name }) => sql.id(schema, name)))}`.execute(trx);
  });
}
