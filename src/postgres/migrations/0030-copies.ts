import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  await sql`alter table batch_jobs add column copied_from uuid`.execute(db);
}
