import { type Kysely, sql } from "kysely";

/**
 * Hours of an organization, beyond which none of its jobs calls. A job's openings are reckoned under one revision of
 * them; once there is another the job gives nothing until they are reckoned anew.
 */
export async function up(db: Kysely<never>): Promise<void> {
  // Constant defaults are kept without a look at the rows.
  const statements = [
    sql`
      alter table organizations
        add column calling_hours jsonb,
        add column hours_revision int not null default 0`,
    sql`alter table batch_jobs add column hours_revision int not null default 0`,
  ];
  for (const statement of statements) await statement.execute(db);
}
