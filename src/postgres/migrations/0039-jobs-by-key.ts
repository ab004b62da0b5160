import { type Kysely, sql } from "kysely";

/*
 * A job is looked up by its organization and its id, which both stood in the index by status, too. To a planner that
 * has no statistics yet that was as good as the key, and it read all of an organization's jobs there for one of them.
 * Now the index is for those alone who say that they mean jobs of any time (`isAnyTime` of ../jobs/job-search.ts).
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`drop index batch_jobs_by_status`,
    sql`
      create index batch_jobs_by_status on batch_jobs (organization_id, status, created_at, id)
      where created_at > '-infinity' and created_at < 'infinity'`,
  ];
  for (const statement of statements) await statement.execute(db);
}
