import { type Kysely, sql } from "kysely";

/*
 * The event log of each organization. What was recorded before, which no version that was released did, comes first.
 *
 * An attempt that ended is an event itself. What a version before this one ends has no number, and is not in the log.
 * The index of numbers is built beside traffic, once this is done (large-indexes.ts).
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table event_heads (
        organization_id int primary key,
        sequence bigint not null check (sequence >= 0),
        first_sequence bigint not null default 1 check (first_sequence >= 1)
      ) with (fillfactor = 50)`,
    sql`
      create table events (
        organization_id int not null,
        sequence bigint not null,
        occurred_at timestamptz(3) not null,
        batch_job_id uuid,
        revision bigint,
        api_key_id uuid,
        number int,
        actor text not null check (
          actor in ('api_key', 'command_line', 'service', 'scheduler', 'lease_expiry', 'breaker', 'worker')),
        type text not null,
        request_id text not null,
        data jsonb,
        primary key (organization_id, sequence),
        check ((actor = 'api_key') = (api_key_id is not null)))`,
    // They go with their contacts.
    sql`create index events_of_contacts on events (organization_id, batch_job_id, number) where number is not null`,
    sql`alter table attempts add column sequence bigint`,
    sql`
      insert into events (
        organization_id, sequence, occurred_at, batch_job_id, revision, api_key_id, actor, type, request_id, data)
      select organization_id, row_number() over (partition by organization_id order by sequence), occurred_at,
        batch_job_id, revision, api_key_id, actor, type, request_id, data
      from audit`,
    sql`
      insert into event_heads (organization_id, sequence)
      select organization_id, max(sequence) from events group by organization_id`,
    sql`drop table audit`,
  ];
  for (const statement of statements) await statement.execute(db);
}
