import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type RawBuilder, sql } from "kysely";
import { from as copyFrom } from "pg-copy-streams";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { blockOf, linesWithPlaces } from "./contact-blocks.ts";
import { type Database, openPool, overPool } from "../connections/database.ts";
import { type ErasedPhones, isErased } from "../phones/erased-phones.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";

/**
 * Contacts on their way into a job, in temporary tables of a connection of its own. Postgres drops them with the
 * connection, whether that is closed or its replica dies.
 */
export type Staging = AsyncDisposable & {
  /** A database over this one connection. */
  readonly db: Database;
  /** Named as no other file's: in a session that is not this file's, they are not there. */
  readonly tables: Record<"phones" | "blocks" | "duplicates" | "rejected", RawBuilder<unknown>>;
  /** Stages phones (phoneRow) and blocks (blockRow) of contacts, the positions of which go on through all calls. */
  stage(phones: string, blocks: string): Promise<void>;
  /** Stages rows (rejectedRow) that are rejected, in a table that is there from then on. */
  stageRejected(rows: string): Promise<void>;
};

/** A phone on its way: the position of its contact, from 1, and its line in the file. */
export const phoneRow = (position: number, line: number, phone: string): string =>
  `${position}\t${line}\t${phone}\n`;

/**
 * A block on its way, with the positions of its first and its last contact, and the set of time zones of each, if any
 * is in another than 0; no contact holds what is around it.
 */
export const blockRow = (
  first: number,
  last: number,
  block: string,
  zoneSets: readonly number[] | undefined,
): string =>
  `${first}\u0002${last}\u0002\u0001${block}\u0001\u0002${zoneSets === undefined ? "" : plainArray(zoneSets)}\n`;

const escapes: Readonly<Record<string, string>> = {
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\0": "\u0001",
};

/**
 * A rejected row on its way: its line in the file, 0 for the titles, and how it is written. Postgres takes no NUL:
 * another character stands for it that no contact may hold either.
 */
export const rejectedRow = (line: number, csv: string): string =>
  `${line}\t${csv.replace(/[\\\n\r\t\0]/g, (character) => escapes[character] ?? "")}\n`;

const blockFormat = "(format csv, delimiter E'\\x02', quote E'\\x01')";

/** A million contacts are sorted out, and written, in about a second. */
const statementTimeoutMs = 15 * 60_000;

export async function openStaging(directUrl: string, organizationId: number): Promise<Staging> {
  const suffix = randomBytes(6).toString("hex");
  const [phonesTable, blocksTable] = [`staged_phones_${suffix}`, `staged_blocks_${suffix}`];
  const rejectedTable = `staged_rejected_${suffix}`;
  const tables = {
    phones: sql.table(phonesTable),
    blocks: sql.table(blocksTable),
    duplicates: sql.table(`staged_duplicates_${suffix}`),
    rejected: sql.table(rejectedTable),
  };
  const pool = openPool({ url: directUrl, size: 1, statementTimeoutMs, idleTimeoutMs: 0, pipeline: false });
  const db = overPool(pool);
  try {
    const client = await pool.connect();
    client.release();
    async function copy(into: string, rows: string): Promise<void> {
      if (rows !== "")
        await pipeline(Readable.from([Buffer.from(rows)]), client.query(copyFrom(`copy ${into}`)));
    }
    const owner = sql`organization_id int not null default ${sql.lit(organizationId)}`;
    const statements = [
      sql`set temp_buffers = '16MB'`,
      sql`set work_mem = '64MB'`,
      sql`
        create temporary table ${tables.phones} (
          ${owner}, position int not null, line int not null, phone bigint not null)`,
      sql`
        create temporary table ${tables.blocks} (
          ${owner}, first_position int not null, last_position int not null, contacts text not null,
          zone_sets smallint[])`,
      sql`
        create temporary table ${tables.duplicates} (
          ${owner}, position int not null, line int not null, phone bigint not null, nth int not null,
          primary key (organization_id, position))`,
    ];
    for (const statement of statements) await statement.execute(db);
    return {
      db,
      tables,
      // Transactions of their own: one that stays open while a slow client sends would keep dead rows everywhere.
      async stage(phones, blocks) {
        await copy(`${phonesTable} (position, line, phone) from stdin`, phones);
        await copy(
          `${blocksTable} (first_position, last_position, contacts, zone_sets) from stdin ${blockFormat}`,
          blocks,
        );
      },
      async stageRejected(rows) {
        await client.query(`
          create temporary table if not exists ${rejectedTable} (
            organization_id int not null default ${organizationId}, line int not null, csv text not null)`);
        await copy(`${rejectedTable} (line, csv) from stdin`, rows);
      },
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
};

/**
 * Finds the staged phones that come before in the job or among the staged ones, and those that were erased: all of
 * them are left out as duplicates. The others are entered for the job, if it has contacts; the transaction has taken
 * its turn to add to it.
 */
export async function sortOutPhones(
  trx: Trx,
  { phones, duplicates }: Staging["tables"],
  job: Pick<BatchJob, "organizationId" | "id" | "totalContacts">,
  shown: number,
  erased?: ErasedPhones,
): Promise<Duplicates> {
  // Look-ups come after the sort, in the order of phones; a job without contacts needs none.
  const known =
    job.totalContacts === 0
      ? sql`select null::bigint as phone`
      : sql`
        select p.phone from contact_phones p
        where p.organization_id = ${job.organizationId} and p.job_id = ${job.id} and p.phone = s.phone
        limit 1`;
  await sql`
    insert into ${duplicates} (position, line, phone, nth)
    select s.position, s.line, s.phone, row_number() over (order by s.position)
    from (
      select position, line, phone, row_number() over (partition by phone order by position) > 1 as is_repeated
      from ${phones}
    ) as s
    left join lateral (${known}) as known on true
    where s.is_repeated or known.phone is not null
      or ${erased === undefined ? sql`false` : isErased(erased, sql`s.phone`)}
  `.execute(trx);
  const { rows } = await sql<Duplicates>`
    select count(*)::int as count, coalesce(
      json_agg(json_build_object('line', line, 'phone', '+' || phone) order by nth) filter (where nth <= ${shown}::int), '[]'
    ) as first
    from ${duplicates}
  `.execute(trx);
  const found = rows[0] ?? { count: 0, first: [] };
  if (job.totalContacts > 0) await enterStaged(trx, { phones, duplicates }, job, found.count);
  return found;
}

/** Enters the staged phones but the duplicates, in their order, with the numbers that their contacts will have. */
async function enterStaged(
  trx: Trx,
  { phones, duplicates }: Pick<Staging["tables"], "phones" | "duplicates">,
  job: Pick<BatchJob, "organizationId" | "id" | "totalContacts">,
  duplicateCount: number,
): Promise<void> {
  const before = sql`
    select nth as count from ${duplicates}
    where organization_id = s.organization_id and position <= s.position
    order by position desc limit 1`;
  const isDuplicate = sql`
    select true as is_one from ${duplicates}
    where organization_id = s.organization_id and position = s.position limit 1`;
  const none = sql`select null::int as count, null::boolean as is_one`;
  await sql`
    insert into contact_phones (organization_id, job_id, phone, number)
    select ${job.organizationId}, ${job.id}, s.phone,
      ${job.totalContacts}::int + s.position - coalesce(before.count, 0)
    from ${phones} s
    left join lateral (${duplicateCount === 0 ? none : before}) as before on true
    left join lateral (${duplicateCount === 0 ? none : isDuplicate}) as duplicate on true
    where duplicate.is_one is null
    order by s.phone
  `.execute(trx);
}

/** A staged contact that is a duplicate: its line in the file, and in its block, and its set of time zones there. */
export type StagedDuplicate = {
  readonly line: number;
  readonly contact: string;
  readonly zoneSet: number;
};

const duplicatesAtOnce = 2_000;

/** The duplicates that were found, in the order of the file, some at a time. */
export async function* readDuplicates(
  trx: Trx,
  { blocks, duplicates }: Staging["tables"],
  organizationId: number,
): AsyncGenerator<readonly StagedDuplicate[]> {
  await sql`create index on ${blocks} (organization_id, first_position)`.execute(trx);
  for (let after = 0; ;) {
    const place = sql`d.position - b.first_position + 1`;
    const { rows } = await sql<StagedDuplicate & { position: number }>`
      select d.position, d.line, ${sql.id(functions.contactLine.name)}(b.contacts, ${place}) as contact,
        coalesce(b.zone_sets[${place}], 0) as "zoneSet"
      from ${duplicates} d
      cross join lateral (
        select * from ${blocks}
        where organization_id = d.organization_id and first_position <= d.position
        order by first_position desc limit 1
      ) as b
      where d.organization_id = ${organizationId} and d.position > ${after}::int
      order by d.position limit ${duplicatesAtOnce}
    `.execute(trx);
    const last = rows.at(-1);
    if (last === undefined) return;
    yield rows;
    after = last.position;
  }
}

/**
 * Writes the staged contacts into the job, but those that were found to be duplicates, and numbers them on. `zoneSets`
 * has the set of the job for each that the file has, by its number there. Answers the sets of those that are in another
 * than 0, and how many are in each.
 */
export async function writeStaged(
  trx: Trx,
  { blocks, duplicates }: Staging["tables"],
  job: Pick<BatchJob, "organizationId" | "id" | "totalContacts">,
  zoneSets: readonly number[],
): Promise<ReadonlyMap<number, number>> {
  const { rows } = await sql<{ zoneSet: number; contacts: number }>`
    with written as (
      insert into contact_blocks (organization_id, job_id, first_number, contacts, zone_sets)
      select ${job.organizationId}, ${job.id}, ${job.totalContacts}::int + b.first_position - coalesce(before.count, 0),
        kept.contacts, kept.zone_sets
      from ${blocks} b
      left join lateral (
        select nth as count from ${duplicates}
        where organization_id = b.organization_id and position < b.first_position
        order by position desc limit 1
      ) as before on true
      cross join lateral (
        select case
          when not exists (
            select from ${duplicates}
            where organization_id = b.organization_id
              and position >= b.first_position and position <= b.last_position
          ) then b.contacts
          else (
            select ${blockOf(sql`line`, sql`place`)}
            from ${linesWithPlaces(sql`b.contacts`)} as t (line, place)
            where not exists (
              select from ${duplicates}
              where organization_id = b.organization_id and position = b.first_position + t.place - 1)
          ) end as contacts, case when b.zone_sets is not null then (
            select array_agg((${plainArray(zoneSets)}::smallint[])[zone_set + 1] order by place)
            from unnest(b.zone_sets) with ordinality as t (zone_set, place)
            where not exists (
              select from ${duplicates}
              where organization_id = b.organization_id and position = b.first_position + t.place - 1)
          ) end as zone_sets
      ) as kept
      where kept.contacts is not null
      returning zone_sets
    )
    select zone_set as "zoneSet", count(*)::int as contacts from written cross join unnest(zone_sets) as zone_set
    where zone_set > 0 group by zone_set
  `.execute(trx);
  return new Map(rows.map(({ zoneSet, contacts }) => [zoneSet, contacts]));
}
