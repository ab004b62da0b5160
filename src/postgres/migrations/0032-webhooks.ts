import { type Kysely, sql } from "kysely";

/*
 * Where events are sent, and what of it was not taken at the first attempt. Each endpoint has its place in the log:
 * what is taken at once moves that, and leaves nothing else.
 */
export async function up(db: Kysely<never>): Promise<void> {
  const statements = [
    sql`
      create table webhook_endpoints (
        organization_id int not null,
        id uuid not null default gen_random_uuid(),
        created_at timestamptz(3) not null default clock_timestamp(),
        updated_at timestamptz(3) not null default clock_timestamp(),
        failing_since timestamptz(3),
        failing_told_at timestamptz(3),
        last_delivered_at timestamptz(3),
        held_until timestamptz(3),
        old_secret_expires_at timestamptz(3),
        sequence bigint not null check (sequence >= 0),
        missed_events bigint not null default 0,
        replay_after bigint,
        replay_to bigint,
        replays int not null default 0,
        revision int not null default 1,
        pending_deliveries int not null default 0 check (pending_deliveries >= 0),
        holder uuid,
        status text not null default 'enabled' check (status in ('enabled', 'disabled', 'deleted')),
        disabled_reason text check (disabled_reason in ('command', 'failing', 'gone')),
        url text not null,
        description text not null,
        secret text not null,
        old_secret text,
        types text[] not null,
        batch_job_ids uuid[] not null,
        primary key (organization_id, id),
        check ((status = 'disabled') = (disabled_reason is not null)),
        check ((old_secret is null) = (old_secret_expires_at is null)),
        check ((replay_after is null) = (replay_to is null)),
        check (status <> 'deleted' or (url = '' and secret = '' and old_secret is null))
      ) with (fillfactor = 50)`,
    sql`create index webhook_endpoints_holder on webhook_endpoints (holder)`,
    sql`
      create table webhook_deliveries (
        organization_id int not null,
        endpoint_id uuid not null,
        id text not null,
        created_at timestamptz(3) not null default clock_timestamp(),
        attempted_at timestamptz(3),
        due_at timestamptz(3),
        first_sequence bigint not null,
        last_sequence bigint not null,
        events int not null,
        attempts int not null default 0,
        http_status int,
        duration_ms int,
        status text not null check (status in ('pending', 'delivered', 'failed')),
        type text not null,
        failure text,
        answer text,
        body text,
        primary key (organization_id, endpoint_id, id),
        check ((status = 'pending') = (body is not null)),
        check (status = 'pending' or due_at is null))`,
    sql`
      create index webhook_deliveries_due on webhook_deliveries (organization_id, endpoint_id, due_at)
      where due_at is not null`,
    sql`
      create index webhook_deliveries_newest on webhook_deliveries (
        organization_id, endpoint_id, created_at desc, id desc)`,
    sql`
      create index webhook_deliveries_ended on webhook_deliveries (organization_id, attempted_at)
      where status <> 'pending'`,
  ];
  for (const statement of statements) await statement.execute(db);
}
