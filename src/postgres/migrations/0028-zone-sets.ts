import { type Kysely, sql } from "kysely";

/*
 * Contacts of a job may be in several sets of time zones, each of which is open at its own times. Which set a contact
 * is in is kept in its block, and with its lease and its retry; of all that was there before that is set 0.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    // Constant defaults are kept without a look at the rows.
    sql`
      alter table zone_sets
        -- In all of which a call must be allowed; of set 0 it is the job's own, whatever is here.
        add column zones text[] not null default '{}',
        -- Given with its contacts, and no zones of their numbers.
        add column is_own boolean not null default false,
        -- Of other sets than 0, which has the rest of the job's.
        add column contacts int not null default 0,
        add column pending_contacts int not null default 0`,
    // The set of each of its contacts, in their order; null if all are in set 0.
    sql`alter table contact_blocks add column zone_sets smallint[]`,
    sql`alter table batch_jobs add column zones_from_phone boolean not null default false`,
    sql`alter table leases add column zone_set smallint not null default 0`,
    // Of other sets than 0 due_at lies beyond all times, so that nothing that looks for what is due comes by them.
    sql`
      alter table retries
        add column zone_set smallint not null default 0,
        add column zone_due_at timestamptz(3)`,
    sql`create index retries_zone_due on retries (organization_id, job_id, zone_set, zone_due_at) where zone_set > 0`,
  ];
  for (const statement of statements) await statement.execute(db);
}
