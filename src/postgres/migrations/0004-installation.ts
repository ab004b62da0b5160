import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // What all replicas of one database must agree on: at most one row.
  await sql`
    create table installation (
      redis_prefix text not null,
      is_only boolean primary key default true check (is_only)
    )`.execute(db);
}
