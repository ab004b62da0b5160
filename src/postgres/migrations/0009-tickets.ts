import { type Kysely, sql } from "kysely";
import { endLeases } from "../functions/end-leases.ts";
import { extendLeases } from "../functions/extend-leases.ts";
import { openLeases } from "../functions/open-leases.ts";
import { takeOverLeases } from "../functions/take-over-leases.ts";

/*
 * Each call of LeaseContacts that may be repeated draws a ticket, and its leases have it: so the later of two calls with
 * one request id is known by all replicas.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`create sequence lease_tickets`,
    sql`alter table leases add column ticket bigint not null default 0`,
    sql`drop function if exists open_leases`,
    sql`drop function if exists end_leases`,
    openLeases,
    endLeases,
    takeOverLeases,
    extendLeases,
  ];
  for (const statement of statements) await statement.execute(db);
}
