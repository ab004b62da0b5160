import { type Kysely, sql } from "kysely";

export async function up(db: Kysely<never>): Promise<void> {
  // Whoever waits for a retry after this contact is to be judged anew, by what the job is set to now; null for nobody.
  await sql`alter table batch_jobs add column retries_judged_to int`.execute(db);
  await sql`
    create index batch_jobs_retries_to_judge on batch_jobs (organization_id, id)
    where retries_judged_to is not null`.execute(db);
}
