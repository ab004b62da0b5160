import { sql } from "kysely";
import type { Trx } from "./jobs/batch-jobs.ts";
import type { Database } from "./connections/database.ts";
import { invariants } from "./schema/invariants.ts";

/** Every look is a snapshot in which Postgres itself lets nothing be written. */
export const inSnapshot = <T>(db: Database, look: (trx: Trx) => Promise<T>): Promise<T> =>
  db.transaction().setIsolationLevel("repeatable read").setAccessMode("read only").execute(look);

async function one<T>(db: Database | Trx, query: ReturnType<typeof sql<T>>): Promise<T> {
  const { rows } = await query.execute(db);
  const [row] = rows;
  if (row === undefined) throw new Error("Postgres answered nothing");
  return row;
}

/** The names of the migrations that were applied; none where there is no schema. */
export async function appliedMigrations(db: Database): Promise<string[]> {
  const { exists } = await one(
    db,
    sql<{ exists: boolean }>`select to_regclass('schema_migrations') is not null as exists`,
  );
  if (!exists) return [];
  const { rows } = await sql<{
    name: string;
  }>`select name from schema_migrations order by name collate "C"`.execute(db);
  return rows.map(({ name }) => name);
}

export type ServerSettings = Record<
  "fsync" | "synchronous_commit" | "full_page_writes" | "autovacuum" | "max_connections",
  string
> & { connections: number };

/** What of the server's settings decides whether what was answered is kept, and whether there is room. */
export const readServerSettings = (db: Database): Promise<ServerSettings> =>
  one(
    db,
    sql<ServerSettings>`
      select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit,
        current_setting('full_page_writes') as full_page_writes, current_setting('autovacuum') as autovacuum,
        current_setting('max_connections') as max_connections,
        (select sum(numbackends)::int from pg_stat_database) as connections`,
  );

/** What has Postgres keep every version of each row since so many transactions ago, and how it is called. */
export type Keeper = {
  kind: "session" | "standby" | "prepared" | "slot";
  name: string;
  transactions: number;
};

/**
 * The one that does so for the longest time; undefined if there is none. A snapshot reaches back to the oldest
 * transaction of any database that writes, so that the writer is named before those whose snapshots reach as far.
 */
export async function findKeeper(db: Database): Promise<Keeper | undefined> {
  const { rows } = await sql<Keeper>`
    select kind, name, transactions from (
      -- Of the sessions of other roles little else is shown. A vacuum keeps nothing from another.
      select case when datname is null then 'standby' else 'session' end as kind, pid::text as name,
        greatest(
          age(backend_xid), case when coalesce(datname, current_database()) = current_database() then age(backend_xmin) end
        ) as transactions, backend_xid is not null as writes
      from pg_stat_activity
      where (datname is not null or pid in (select pid from pg_stat_replication))
        and pid <> pg_backend_pid() and pid not in (select pid from pg_stat_progress_vacuum)
      union all
      select 'prepared', gid, age(transaction), true from pg_prepared_xacts
      union all
      select 'slot', slot_name, age(xmin), false from pg_replication_slots
    ) as keepers
    where transactions is not null order by transactions desc, writes desc limit 1
  `.execute(db);
  return rows[0];
}

export type Installation = { id: string; prefix: string };

/** Which installation the database is of; undefined before its first replica. */
export async function readInstallation(db: Database): Promise<Installation | undefined> {
  const { rows } = await sql<Installation>`select id, redis_prefix as prefix from installation`.execute(db);
  return rows[0];
}

export type Stuck = { overdueStarts: number; expiredLeases: number; overdueMs: number; unended: number };

/** What no replica has done, though it was to do it a while ago. */
export const countStuck = (db: Database): Promise<Stuck> =>
  inSnapshot(db, (trx) =>
    one(
      trx,
      sql<Stuck>`
        select late.count as "overdueStarts", late.ms as "overdueMs", expired.count as "expiredLeases",
          unended.count as unended
        from (
          select count(*)::int as count, coalesce(max(extract(epoch from clock_timestamp() - scheduled_at) * 1000), 0)::bigint as ms
          from (
            select scheduled_at from batch_jobs
            where status = 'scheduled' and scheduled_at < (select clock_timestamp() - interval '15 seconds')
            order by scheduled_at limit 10000
          ) as due
        ) as late, (
          select count(*)::int as count from (
            select from leases where expires_at < (select clock_timestamp() - interval '30 seconds') limit 10000
          ) as leases
        ) as expired, (
          select count(*)::int as count from batch_jobs
          where status = 'running' and pending_contacts + waiting_retry_contacts + dialing_contacts = 0
            and updated_at < clock_timestamp() - interval '30 seconds'
        ) as unended`,
    ),
  );

/** Of so many jobs with so many contacts at most the rows are read. */
const looked = { jobs: 50, contacts: 20_000 };

/** What breaks an invariant, with some of its places; the jobs are those that were changed last. */
export const findBroken = (db: Database): Promise<{ rule: string; jobs: string[] }[]> =>
  inSnapshot(db, async (trx) => {
    const { rows: jobs } = await sql<{ id: string }>`
      select id from batch_jobs where total_contacts <= ${looked.contacts}
      order by updated_at desc limit ${looked.jobs}`.execute(trx);
    const ids = jobs.map(({ id }) => id);
    const broken: { rule: string; jobs: string[] }[] = [];
    for (const [rule, query] of Object.entries(invariants(sql<boolean>`job_id = any(${ids}::uuid[])`))) {
      const { rows } = await sql<Record<string, unknown>>`select * from (${query}) as broken limit 3`.execute(
        trx,
      );
      if (rows.length > 0) broken.push({ rule, jobs: rows.map((row) => String(Object.values(row)[0])) });
    }
    return broken;
  });
