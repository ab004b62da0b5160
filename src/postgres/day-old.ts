import { type RawBuilder, sql } from "kysely";
import type { Database } from "./connections/database.ts";
import { functions } from "./functions/functions.ts";

/*
 * What is kept for a day: answers for repetitions, and rows that an import has rejected.
 */

type Table = "requests" | "rejected_rows";

/** What was made before is gone. */
export const keptSince: RawBuilder<Date> = sql`${sql.id(functions.keptSince.name)}(clock_timestamp())`;

const isOver = sql`created_at < (select ${keptSince})`;

/** Up to `limit` organizations that have rows in a table whose time is over. */
export async function organizationsWithOver(db: Database, table: Table, limit: number): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select id from organizations o
    where exists (select from ${sql.table(table)} where organization_id = o.id and ${isOver})
    limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/**
 * Removes up to `size` of an organization's rows whose time is over; answers how many. They are locked, and so found by
 * their places alone: any index of the organization is as good as those to a planner that takes the table to be empty.
 */
export async function purgeOver(
  db: Database,
  table: Table,
  organizationId: number,
  size: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from ${sql.table(table)} where ctid = any (array(
      select ctid from ${sql.table(table)}
      where organization_id = ${organizationId} and ${isOver}
      limit ${size} for update skip locked))
  `.execute(db);
  return Number(numAffectedRows ?? 0);
}
