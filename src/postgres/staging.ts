import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sql } from "kysely";
import { from as copyFrom } from "pg-copy-streams";
import type { Trx } from "./batch-jobs.ts";
import { type Database, openPool, overPool } from "./database.ts";

/**
 * Contacts on their way into a job, in a temporary table of a connection of its own. Postgres drops it with the
 * connection, whether that is closed or its replica dies.
 */
export type Staging = AsyncDisposable & {
  /** A database over this one connection. */
  readonly db: Database;
  /** Stages rows, as text for COPY: position (1, 2, … through all calls), line, phone, name, fields as JSON. */
  stage(rows: readonly Buffer[]): Promise<void>;
};

/** A million contacts are written in about five seconds. */
const statementTimeoutMs = 15 * 60_000;

export async function openStaging(databaseUrl: string): Promise<Staging> {
  const pool = openPool({ url: databaseUrl, size: 1, statementTimeoutMs, idleTimeoutMs: 0 });
  const db = overPool(pool);
  try {
    const statements = [
      sql`set temp_buffers = '16MB'`,
      sql`set work_mem = '64MB'`,
      sql`
        create temporary table staged_contacts (
          position int not null, line int not null, phone text collate "C" not null, name text not null, fields jsonb not null)`,
      sql`
        create temporary table staged_duplicates (
          position int primary key, line int not null, phone text not null, nth int not null)`,
    ];
    for (const statement of statements) await statement.execute(db);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  return {
    db,
    // A transaction for each piece: one that stays open while a slow client sends would keep dead rows everywhere.
    async stage(rows) {
      const client = await pool.connect();
      try {
        await pipeline(Readable.from(rows), client.query(copyFrom("copy staged_contacts from stdin")));
      } finally {
        client.release();
      }
    },
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}

export type AddedStaged = {
  /** How many of the staged contacts were left out, because the job or the file had their phone before. */
  duplicates: number;
  /** The first of them. */
  first: { line: number; phone: string }[];
};

/**
 * Adds the staged contacts to a job whose turn to be added to this transaction has taken, numbered on from `lastNumber`
 * in the order staged, without those whose phone comes before in the job or among the staged ones.
 */
export async function addStaged(
  trx: Trx,
  jobId: string,
  lastNumber: number,
  shown: number,
): Promise<AddedStaged> {
  // Look-ups come after the sort, in the order of phones; a job without contacts needs none.
  const known =
    lastNumber === 0
      ? sql`select null::text as phone`
      : sql`select p.phone from contact_phones p where p.job_id = ${jobId} and p.phone = s.phone limit 1`;
  await sql`
    with sorted as materialized (
      select s.position, s.line, s.phone, s.nth = 1 and known.phone is null as is_new
      from (
        select position, line, phone, row_number() over (partition by phone order by position) as nth
        from staged_contacts
      ) as s
      left join lateral (${known}) as known on true
    ), phones as (
      insert into contact_phones (job_id, phone) select ${jobId}, phone from sorted where is_new
    )
    insert into staged_duplicates (position, line, phone, nth)
    select position, line, phone, row_number() over (order by position) from sorted where not is_new
  `.execute(trx);
  const { rows } = await sql<{ duplicates: number; first: AddedStaged["first"] }>`
    select coalesce(max(nth), 0) as duplicates, coalesce(
      json_agg(json_build_object('line', line, 'phone', phone) order by nth) filter (where nth <= ${shown}::int), '[]'
    ) as first
    from staged_duplicates
  `.execute(trx);
  const found = rows[0] ?? { duplicates: 0, first: [] };
  // A contact's number is its position, less the duplicates before it.
  await (
    found.duplicates === 0
      ? sql`
        insert into contacts (job_id, number, phone, name, fields)
        select ${jobId}, ${lastNumber}::int + position, phone, name, fields from staged_contacts`
      : sql`
        insert into contacts (job_id, number, phone, name, fields)
        select ${jobId}, ${lastNumber}::int + s.position - coalesce(d.nth, 0), s.phone, s.name, s.fields
        from staged_contacts s
        left join lateral (
          select position, nth from staged_duplicates where position <= s.position order by position desc limit 1
        ) as d on true
        where d.position is distinct from s.position`
  ).execute(trx);
  return found;
}
