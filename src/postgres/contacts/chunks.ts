import { type RawBuilder, sql } from "kysely";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type { Database } from "../connections/database.ts";
import { often } from "../connections/prepared.ts";
import type { Numbers, NumbersInSet } from "../../domain/contacts/numbers.ts";

/** A job, and some of its contacts by the sets of time zones that they are in. */
export type Chunk = {
  status: JobStatus;
  revision: number;
  totalContacts: number;
  zoneSets: number;
  lists: readonly NumbersInSet[];
};

type ChunkRow = Omit<Chunk, "lists">;

const jobOfChunk = sql`j.status, j.revision, j.total_contacts as "totalContacts", j.zone_sets as "zoneSets"`;

const fromJob = (organizationId: number, jobId: string) =>
  sql`from batch_jobs j where j.organization_id = ${organizationId} and j.id = ${jobId}`;

/** All of a chunk are in set 0. */
const inSet0 = (numbers: Numbers): readonly NumbersInSet[] => [{ zoneSet: 0, numbers }];

/** The numbers of the contacts that were called, or are, for the first time. */
const calledNumbers = (organizationId: number, jobId: string, after: number) => {
  const first = sql`
    organization_id = ${organizationId} and job_id = ${jobId} and number > ${after}::int and attempt = 1`;
  return sql`select number from attempts where ${first} union all select number from leases where ${first}`;
};

/**
 * The first `size` numbers after `after` and up to `upTo` of pending contacts: what lies between those that were
 * called.
 */
export const pendingNumbers = (
  organizationId: number,
  jobId: string,
  after: number,
  upTo: RawBuilder<number>,
  size: number,
) => sql`
  select pending.number from (
    select number, lead(number, 1, ${upTo} + 1) over (order by number) as next
    from (select ${after}::int as number union all ${calledNumbers(organizationId, jobId, after)}) as called
    where number <= ${upTo}
  ) as gap
  cross join lateral (
    select generate_series(gap.number + 1, gap.next - 1) as number limit ${size}
  ) as pending
  order by gap.number, pending.number limit ${size}`;

/**
 * The pending contacts among the `size` numbers above `after`, and the job as the same statement saw it. Undefined if
 * the job is gone.
 */
export async function readChunk(
  db: Database,
  organizationId: number,
  jobId: string,
  after: number,
  size: number,
): Promise<Chunk | undefined> {
  const counted = await sql<ChunkRow & { called: number }>`
    select ${jobOfChunk}, (
      select count(*)::int from (${calledNumbers(organizationId, jobId, after)}) as c where c.number <= ${after + size}::int
    ) as called
    ${fromJob(organizationId, jobId)}
  `.execute(db);
  const [whole] = counted.rows;
  if (whole === undefined) return undefined;
  const { called, ...job } = whole;
  if (job.zoneSets > 1) return await readInSets(db, organizationId, jobId, after, size);
  // At first all of them are pending, and their numbers need not travel.
  if (called === 0) return allOf(job, after, size);
  const { rows } = await sql<ChunkRow & { numbers: string | null }>`
    select ${jobOfChunk}, (
      select string_agg(p.number::text, ',' order by p.number)
      from (${pendingNumbers(organizationId, jobId, after, sql`least(${after + size}::int, j.total_contacts)`, size)}) as p
    ) as numbers
    ${fromJob(organizationId, jobId)}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { numbers, ...jobThen } = row;
  // Somebody may have added contacts in other sets between the two.
  if (jobThen.zoneSets > 1) return await readInSets(db, organizationId, jobId, after, size);
  return { ...jobThen, lists: inSet0(numbers?.split(",").map(Number) ?? []) };
}

/** The last number that the job has of the `size` above `after`. */
const lastOf = ({ totalContacts }: ChunkRow, after: number, size: number): number =>
  Math.min(after + size, totalContacts);

const allOf = (job: ChunkRow, after: number, size: number): Chunk => ({
  ...job,
  lists: inSet0({ first: after + 1, count: lastOf(job, after, size) - after }),
});

/**
 * Of the blocks with the `size` numbers above `after` each one's first number and the sets of its contacts, as text:
 * `1{0,2,1}4{}` are two blocks, all of the second in set 0.
 */
const setsOfBlocks = (organizationId: number, jobId: string, after: number, size: number) => {
  const own = sql`organization_id = ${organizationId} and job_id = ${jobId}`;
  // Who is in which set is sorted out here: in Postgres it would take several times as long.
  return sql<string | null>`(
    select string_agg(first_number || coalesce(zone_sets::text, '{}'), '' order by first_number) from contact_blocks
    where ${own} and first_number <= least(${after + size}::int, j.total_contacts) and first_number >= coalesce((
      select max(first_number) from contact_blocks where ${own} and first_number <= ${after}::int + 1), 1))`;
};

/** The pending contacts of a job whose contacts are in several sets. */
async function readInSets(
  db: Database,
  organizationId: number,
  jobId: string,
  after: number,
  size: number,
): Promise<Chunk | undefined> {
  const { rows } = await sql<ChunkRow & { blocks: string | null; called: number[] | null }>`
    select ${jobOfChunk}, ${setsOfBlocks(organizationId, jobId, after, size)} as blocks, (
      select json_agg(number) from (${calledNumbers(organizationId, jobId, after)}) as c
      where number <= least(${after + size}::int, j.total_contacts)
    ) as called
    ${fromJob(organizationId, jobId)}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { blocks, called, ...job } = row;
  return {
    ...job,
    lists: bySet(blocks, { after, upTo: lastOf(job, after, size), without: new Set(called) }),
  };
}

/** The numbers of contacts in blocks, in order, by their sets. */
function bySet(
  blocks: string | null,
  { after, upTo, without }: { after: number; upTo: number; without: ReadonlySet<number> },
): NumbersInSet[] {
  const lists = new Map<string, number[]>();
  const add = (number: number, zoneSet: string) => {
    if (number <= after || number > upTo || without.has(number)) return;
    const list = lists.get(zoneSet);
    if (list === undefined) lists.set(zoneSet, [number]);
    else list.push(number);
  };
  const texts = (blocks ?? "")
    .split("}")
    .slice(0, -1)
    .map((block) => block.split("{"));
  for (const [i, [first, zoneSets = ""]] of texts.entries()) {
    let number = Number(first);
    if (zoneSets === "") {
      const next = Number(texts[i + 1]?.[0] ?? upTo + 1);
      for (; number < next; number += 1) add(number, "0");
    } else {
      for (const zoneSet of zoneSets.split(",")) add(number++, zoneSet);
    }
  }
  return [...lists].map(([zoneSet, numbers]) => ({ zoneSet: Number(zoneSet), numbers }));
}

/** The same where all of those are known to be pending: only the job is looked at, and who is in which set. */
export async function wholeChunk(
  db: Database,
  organizationId: number,
  jobId: string,
  after: number,
  size: number,
): Promise<Chunk | undefined> {
  const { rows } = await sql<ChunkRow & { blocks: string | null }>`${often}
    select ${jobOfChunk}, case when j.zone_sets > 1 then ${setsOfBlocks(organizationId, jobId, after, size)} end as blocks
    ${fromJob(organizationId, jobId)}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { blocks, ...job } = row;
  if (job.zoneSets <= 1) return allOf(job, after, size);
  return { ...job, lists: bySet(blocks, { after, upTo: lastOf(job, after, size), without: new Set() }) };
}
