import { type Kysely, sql } from "kysely";

/*
 * The phones of people whose data an organization has erased: a keyed hash of each, by which they are known again. The
 * key is a setting of the service, and not in the database, which has a hash of it alone: so that all replicas have
 * the same one. How many there are stands in the organization's row, where whoever adds contacts finds that there are
 * none.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table erased_phones (
        organization_id int not null,
        hash bytea not null,
        erased_at timestamptz(3) not null default clock_timestamp(),
        contacts int not null default 0 check (contacts >= 0),
        primary key (organization_id, hash)
      )`,
    sql`alter table organizations add column erased_phones int not null default 0 check (erased_phones >= 0)`,
    sql`alter table installation add column erasure_key_hash bytea`,
    // What is reported of a call with a contact that was erased meanwhile is not kept.
    sql`alter table leases add column is_erased boolean not null default false`,
  ];
  for (const statement of statements) await statement.execute(db);
}
