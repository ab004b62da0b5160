import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { sql } from "kysely";
import { from as copyFrom } from "pg-copy-streams";
import type { Trx } from "./batch-jobs.ts";
import { type Database, openPool, overPool } from "./database.ts";

/**
 * The phones of contacts on their way into a job, in a temporary table of a connection of its own, on which the contacts
 * are then written. Postgres drops it with the connection, whether that is closed or its replica dies.
 */
export type Staging = AsyncDisposable & {
  /** A database over this one connection. */
  readonly db: Database;
  /** Stages rows, as text for COPY: position (1, 2, … through all calls), line, phone without its plus. */
  stage(rows: readonly Buffer[]): Promise<void>;
  /** Writes blocks of contacts in the transaction of `db`, as text for COPY: job, first number, contacts. */
  write(blocks: AsyncIterable<Buffer>): Promise<void>;
};

/** A million contacts are written in about a second. */
const statementTimeoutMs = 15 * 60_000;

export async function openStaging(databaseUrl: string): Promise<Staging> {
  const pool = openPool({ url: databaseUrl, size: 1, statementTimeoutMs, idleTimeoutMs: 0 });
  const db = overPool(pool);
  try {
    const client = await pool.connect();
    client.release();
    async function copy(into: string, rows: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
      await pipeline(Readable.from(rows), client.query(copyFrom(`copy ${into} from stdin`)));
    }
    const statements = [
      sql`set temp_buffers = '16MB'`,
      sql`set work_mem = '64MB'`,
      sql`create temporary table staged_phones (position int not null, line int not null, phone bigint not null)`,
      sql`
        create temporary table staged_duplicates (
          position int primary key, line int not null, phone bigint not null, nth int not null)`,
    ];
    for (const statement of statements) await statement.execute(db);
    return {
      db,
      // A transaction for each piece: one that stays open while a slow client sends would keep dead rows everywhere.
      stage: (rows) => copy("staged_phones", rows),
      // The pool's only connection is the transaction's.
      write: (blocks) => copy("contact_blocks (job_id, first_number, contacts)", blocks),
      [Symbol.asyncDispose]: () => db.destroy(),
    };
  } catch (error) {
    await db.destroy();
    throw error;
  }
}

export type Duplicates = {
  count: number;
  /** The first of them. */
  first: { line: number; phone: string }[];
  /** Whether the one staged at a position is one. */
  has(position: number): boolean;
};

/**
 * Finds the staged phones that come before in the job or among the staged ones. The others are entered for the job, if it has
 * contacts; the transaction has taken its turn to add to it.
 */
export async function sortOutPhones(
  trx: Trx,
  job: { id: string; total_contacts: number },
  shown: number,
): Promise<Duplicates> {
  const staged = sql`
    select position, line, phone, row_number() over (partition by phone order by position) > 1 as is_repeated
    from staged_phones`;
  // Look-ups come after the sort, in the order of phones; a job without contacts needs none.
  const sorted =
    job.total_contacts === 0
      ? sql`with sorted as (select position, line, phone, not is_repeated as is_new from (${staged}) as s)`
      : sql`
        with sorted as materialized (
          select s.position, s.line, s.phone, not s.is_repeated and known.phone is null as is_new
          from (${staged}) as s
          left join lateral (
            select p.phone from contact_phones p where p.job_id = ${job.id} and p.phone = '+' || s.phone limit 1
          ) as known on true
        ), phones as (
          insert into contact_phones (job_id, phone) select ${job.id}, '+' || phone from sorted where is_new
        )`;
  await sql`
    ${sorted}
    insert into staged_duplicates (position, line, phone, nth)
    select position, line, phone, row_number() over (order by position) from sorted where not is_new
  `.execute(trx);
  const { rows } = await sql<Pick<Duplicates, "count" | "first"> & { last: number }>`
    select coalesce(max(nth), 0) as count, coalesce(max(position), 0) as last, coalesce(
      json_agg(json_build_object('line', line, 'phone', '+' || phone) order by nth) filter (where nth <= ${shown}::int), '[]'
    ) as first
    from staged_duplicates
  `.execute(trx);
  const { count, first, last } = rows[0] ?? { count: 0, first: [], last: 0 };
  const bits = await readPositions(trx, last);
  return { count, first, has: (position) => ((bits[position >> 3] ?? 0) & (1 << (position & 7))) !== 0 };
}

const positionsAtATime = 100_000;

/** The positions of the duplicates, a bit for each position up to the last. */
async function readPositions(trx: Trx, last: number): Promise<Uint8Array> {
  const bits = new Uint8Array((last >> 3) + 1);
  for (let after = 0; after < last;) {
    const { rows } = await sql<{ position: number }>`
      select position from staged_duplicates where position > ${after}::int order by position limit ${positionsAtATime}
    `.execute(trx);
    for (const { position } of rows) {
      bits[position >> 3] = (bits[position >> 3] ?? 0) | (1 << (position & 7));
      after = position;
    }
  }
  return bits;
}
