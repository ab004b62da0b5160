import { type Kysely, sql } from "kysely";

/*
 * Who did what, when a key was last used, and how many contacts an organization has and may have.
 *
 * The contacts of an organization's jobs are counted by triggers: whatever adds contacts to a job, or deletes it, of
 * this version or of the one before it, is counted in its own transaction. The row of the count is locked after the
 * jobs, and as late as a transaction can.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`alter table organizations add column stored_contact_limit int check (stored_contact_limit >= 0)`,
    sql`alter table api_keys add column last_used_at timestamptz(3)`,

    sql`
      create table audit (
        organization_id int not null,
        sequence bigint not null generated always as identity,
        occurred_at timestamptz(3) not null,
        batch_job_id uuid,
        revision bigint,
        api_key_id uuid,
        actor text not null check (actor in ('api_key', 'command_line', 'service')),
        type text not null,
        request_id text not null,
        data jsonb,
        primary key (organization_id, sequence),
        check ((actor = 'api_key') = (api_key_id is not null)))`,

    sql`
      create table stored_contacts (
        organization_id int primary key,
        contacts bigint not null check (contacts >= 0)
      ) with (fillfactor = 50)`,
    sql`
      create function count_contacts_of_new_jobs() returns trigger language plpgsql as $$
      begin
        insert into stored_contacts as s (organization_id, contacts)
        select organization_id, sum(total_contacts) from new_jobs
        group by organization_id having sum(total_contacts) > 0 order by organization_id
        on conflict (organization_id) do update set contacts = s.contacts + excluded.contacts;
        return null;
      end $$`,
    sql`
      create function count_contacts_of_changed_job() returns trigger language plpgsql as $$
      begin
        insert into stored_contacts as s (organization_id, contacts)
        values (new.organization_id, greatest(new.total_contacts - old.total_contacts, 0))
        on conflict (organization_id) do update
        set contacts = s.contacts + new.total_contacts - old.total_contacts;
        return null;
      end $$`,
    sql`
      create function count_contacts_of_deleted_jobs() returns trigger language plpgsql as $$
      declare
        gone record;
      begin
        -- One after the other by its key, whatever is reckoned of the table of what was deleted.
        for gone in
          select organization_id as id, sum(total_contacts) as contacts from old_jobs
          group by organization_id having sum(total_contacts) > 0 order by organization_id
        loop
          update stored_contacts set contacts = contacts - gone.contacts where organization_id = gone.id;
        end loop;
        return null;
      end $$`,
    sql`
      create trigger contacts_of_new_jobs after insert on batch_jobs referencing new table as new_jobs
      for each statement execute function count_contacts_of_new_jobs()`,
    // Commands do not name the column, and so do not come here.
    sql`
      create trigger contacts_of_changed_job after update of total_contacts on batch_jobs
      for each row when (new.total_contacts <> old.total_contacts)
      execute function count_contacts_of_changed_job()`,
    sql`
      create trigger contacts_of_deleted_jobs after delete on batch_jobs referencing old table as old_jobs
      for each statement execute function count_contacts_of_deleted_jobs()`,

    // Whole tables are read here. Nobody adds or deletes jobs since the triggers were made.
    sql`set local enable_seqscan = on`,
    sql`
      insert into stored_contacts (organization_id, contacts)
      select organization_id, sum(total_contacts) from batch_jobs group by organization_id`,
  ];
  for (const statement of statements) await statement.execute(db);
}
