import { type Kysely, sql } from "kysely";

/*
 * Each call of LeaseContacts that may be repeated draws a ticket, and its leases have it: so the later of two calls
 * with one request id is known by all replicas.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`create sequence lease_tickets`,
    sql`alter table leases add column ticket bigint not null default 0`,
    // No release calls functions by these names: 0.1.0 has none, and all later ones call those of ../functions.
    sql`drop function if exists open_leases`,
    sql`drop function if exists end_leases`,
  ];
  for (const statement of statements) await statement.execute(db);
}
