import { type RawBuilder, sql } from "kysely";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type { StoredContactStatus } from "../../domain/contacts/contact.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { blockBytes, blockOf, blockOfArray, isErasedLine, linesWithPlaces } from "./contact-blocks.ts";
import { contactStatus } from "./current-contacts.ts";
import { type Database, openDatabase } from "../connections/database.ts";
import { type ErasedPhones, isErased } from "../phones/erased-phones.ts";
import { functions } from "../functions/functions.ts";
import { isOwnedAs } from "../owned.ts";

/** A copy of millions takes as long as it takes: on a connection of its own it keeps nobody from theirs. */
const copyTimeoutMs = 15 * 60_000;

/** Longer than a large copy: its repetition waits for its end, and is answered with it. */
const lockTimeoutMs = 30_000;

export const openCopy = (directUrl: string): Database =>
  openDatabase({
    url: directUrl,
    poolSize: 1,
    statementTimeoutMs: copyTimeoutMs,
    lockTimeoutMs,
    idleTimeoutMs: 0,
  });

/** The statuses to look for in the rows of a job, by its own, which changes what they are shown as. */
export type CopiedStatuses = Readonly<Record<JobStatus, readonly StoredContactStatus[]>>;

type Sql = RawBuilder<unknown>;

/**
 * Copies contacts of a job into one that has none yet, numbered from 1 in their order: those in the statuses, or all
 * where none are given, but for those whose phone is suppressed or erased. They stay in their sets of time zones.
 * Answers how many there are, and how many in each set but 0. It is one statement, and so as of one instant, and locks
 * nothing of the other job.
 */
export async function copyContacts(
  trx: Trx,
  from: JobKey,
  toId: string,
  statuses: CopiedStatuses | undefined,
  erased: ErasedPhones | undefined,
): Promise<Copied> {
  await sql`set local work_mem = '128MB'`.execute(trx);
  const conditions = [
    ...((await hasSuppressed(trx, from.organizationId)) ? [isNotSuppressed] : []),
    ...(erased === undefined ? [] : [isNotErased(erased)]),
  ];
  const mayCall = conditions.length === 0 ? undefined : sql.join(conditions, sql` and `);
  const { rows } = await sql<{ copied: number; inSets: [zoneSet: number, contacts: number][] }>`
    ${statuses === undefined && mayCall === undefined ? all(from, toId) : some(from, toId, { statuses, mayCall })}
  `.execute(trx);
  const [{ copied, inSets } = { copied: 0, inSets: [] }] = rows;
  return { copied, inSets: new Map(inSets) };
}

export type Copied = {
  readonly copied: number;
  /** By the numbers of the sets. */
  readonly inSets: ReadonlyMap<number, number>;
};

/** How many contacts of the blocks that were added are in each set but 0. */
const inSetsOfAdded = sql`coalesce((
  select json_agg(json_build_array(zone_set, contacts)) from (
    select zone_set, count(*)::int as contacts from added cross join unnest(zone_sets) as zone_set
    where zone_set > 0 group by zone_set
  ) as sets
), '[]') as "inSets"`;

async function hasSuppressed(trx: Trx, organizationId: number): Promise<boolean> {
  const { rows } = await sql<{ phones: number }>`
    select suppressed_phones as phones from organizations where id = ${organizationId}`.execute(trx);
  return (rows[0]?.phones ?? 0) > 0;
}

/** A look-up for each line: as an anti-join, with each block, it would read all of the list each time. */
const isNotSuppressed = sql`(
  select phone from suppressed_phones
  where organization_id = s.organization_id and phone = ${sql.id(functions.contactPhone.name)}(t.line)
    and expires_at > s.now
  limit 1) is null`;

/** Neither was the contact erased, nor is its phone one that is about to be everywhere. */
const isNotErased = (erased: ErasedPhones): Sql => sql`
  not ${isErasedLine(sql`t.line`)}
  and not ${isErased(erased, sql`${sql.id(functions.contactPhone.name)}(t.line)`)}`;

/** What the blocks of the job `s` are joined by. */
const blocksOfSource = sql`${isOwnedAs("contact_blocks", "s")} and job_id = s.job_id`;

/** Blocks are copied as they are. */
const all = ({ organizationId, id }: JobKey, toId: string): Sql => sql`
  with source as materialized (
    select organization_id, id as job_id, total_contacts from batch_jobs
    where organization_id = ${organizationId} and id = ${id}
  ), added as (
    insert into contact_blocks (organization_id, job_id, first_number, contacts, zone_sets)
    select b.organization_id, ${toId}::uuid, b.first_number, b.contacts, b.zone_sets
    from source s
    cross join lateral (
      select * from contact_blocks where ${blocksOfSource}
    ) as b
    returning zone_sets
  )
  select total_contacts as copied, ${inSetsOfAdded} from source`;

/** What is left of neighbouring blocks is put together, so that no block is longer than others are. */
const smallBytes = blockBytes / 2;

/** What attempts and leases of the job `s` are looked up by, in the order of their key. */
const ofSource = sql`organization_id = s.organization_id and job_id = s.job_id`;

/**
 * For each number of the job a byte: 1 if its contact is in one of the statuses. Lines are picked by it, which takes a
 * fraction of what a join of lines with attempts takes.
 */
const marks = sql`, (
  select string_agg(case when coalesce(called.status, 'pending') = any(s.asked) then '1' else '0' end, '' order by n.number)::bytea
  from generate_series(1, s.total_contacts) as n (number)
  left join (
    select coalesce(l.number, a.number) as number, ${contactStatus({
      isLeased: sql`l.number is not null`,
      outcome: sql`a.outcome`,
      nextAttemptAt: sql`a.next_attempt_at`,
    })} as status
    from (
      select distinct on (number) number, outcome, next_attempt_at from attempts
      where ${ofSource} order by number desc, attempt desc
    ) as a
    full join (select number from leases where ${ofSource}) as l on l.number = a.number
  ) as called on called.number = n.number
) as marks`;

/** The job, as `s`, with the statuses to look for. */
const sourceOf = ({ organizationId, id }: JobKey, statuses: CopiedStatuses | undefined): Sql => sql`
  select s.*, (select clock_timestamp()) as now ${statuses === undefined ? sql`` : marks} from (
    select organization_id, id as job_id, total_contacts,
      array(select jsonb_array_elements_text(${JSON.stringify(statuses ?? {})}::jsonb -> status)) as asked
    from batch_jobs where organization_id = ${organizationId} and id = ${id}
    -- Reckoned once.
    offset 0
  ) as s`;

const isMarked = sql`get_byte(s.marks, b.first_number + t.place::int - 2) = ascii('1')`;

const some = (
  from: JobKey,
  toId: string,
  { statuses, mayCall = sql`true` }: { statuses: CopiedStatuses | undefined; mayCall: Sql | undefined },
): Sql => {
  const kept = (what: Sql) => sql`
    select ${what} from ${linesWithPlaces(sql`b.contacts`)} as t (line, place)
    where ${statuses === undefined ? sql`true` : isMarked} and ${mayCall}`;
  return sql`
  with source as materialized (${sourceOf(from, statuses)}),
  pieces as materialized (
    select first_number, cardinality(lines) as count, contacts, octet_length(contacts) + 1 as bytes, sets
    from (
      select b.first_number, kept.lines, ${blockOfArray(sql`kept.lines`)} as contacts,
        array_to_string(coalesce(kept.sets, array_fill(0::smallint, array[cardinality(kept.lines)])), ',') as sets
      from source s
      cross join lateral (select first_number, contacts, zone_sets from contact_blocks where ${blocksOfSource}) as b
      cross join lateral (
        select array(${kept(sql`t.line`)}) as lines,
          case when b.zone_sets is not null then array(${kept(sql`b.zone_sets[t.place]`)}) end as sets
      ) as kept
      where kept.lines <> '{}'
    ) as some_lines
  ), placed as (
    select first_number, contacts, sets, bytes > ${smallBytes}::int as is_large,
      sum(count) over before - count as numbers_before,
      count(*) filter (where bytes > ${smallBytes}::int) over before as large_before,
      sum(bytes) filter (where bytes <= ${smallBytes}::int) over before / ${smallBytes}::int as part
    from pieces
    window before as (order by first_number)
  ), added as (
    insert into contact_blocks (organization_id, job_id, first_number, contacts, zone_sets)
    select ${from.organizationId}, ${toId}::uuid, 1 + min(numbers_before),
      ${blockOf(sql`contacts`, sql`first_number`)},
      case when bool_or(sets ~ '[1-9]') then
        string_to_array(string_agg(sets, ',' order by first_number), ',')::smallint[]
      end
    from placed group by large_before, is_large, part
    returning zone_sets
  )
  select coalesce(sum(count), 0)::int as copied, ${inSetsOfAdded} from pieces`;
};
