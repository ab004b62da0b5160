import { type RawBuilder, sql } from "kysely";

/**
 * Whether a row of a table is of the organization that a given row names, in SQL, where the two are joined. It is
 * compared as one of a list, as functions/end_leases.sql tells: so no planner goes through an index from end to end.
 */
export const isOwnedAs = (row: string, given: string): RawBuilder<boolean> =>
  sql`${sql.ref(`${row}.organization_id`)} = any (array[${sql.ref(`${given}.organization_id`)}])`;
