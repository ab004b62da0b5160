import { type Kysely, sql } from "kysely";

/*
 * A lease that one call takes over from another keeps the nonces of those that had it: if what has taken it over turns
 * out to have no caller, the one before has it still. The version before leaves them alone.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table leases add column earlier_nonces bigint[]`.execute(db);
}
