import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // How many calls of each class an organization may make in a second: 0 is no limit, null what the service is set to.
  await sql`
    alter table organizations
      add column rate_read int check (rate_read between 0 and 1000000),
      add column rate_command int check (rate_command between 0 and 1000000),
      add column rate_import int check (rate_import between 0 and 1000000),
      add column rate_lease int check (rate_lease between 0 and 1000000)`.execute(db);
}
