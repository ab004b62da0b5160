import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // Stands in Redis too, so that two databases that use one prefix there are told from each other.
  await sql`alter table installation add column id uuid not null default gen_random_uuid()`.execute(db);
}
