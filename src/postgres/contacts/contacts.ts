import { type RawBuilder, sql } from "kysely";
import { largestListBytes } from "../../domain/answer-size.ts";
import type { Attempt } from "../../domain/contacts/attempt.ts";
import type { JobStatus } from "../../domain/jobs/batch-job.ts";
import type {
  AcceptedContact,
  ContactInput,
  StoredContact,
  StoredContactStatus,
} from "../../domain/contacts/contact.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { blockBytes, blockOf, lineAndSetOf, readContact, writeLine } from "./contact-blocks.ts";
import { contactStatus, endedAttempts } from "./current-contacts.ts";
import type { Database } from "../connections/database.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { readNextAttempts } from "./next-attempts.ts";
import { often } from "../connections/prepared.ts";
import type { Numbers, NumbersInSet } from "../../domain/contacts/numbers.ts";

/** A contact, and the set of time zones that it is in. */
type NewContact = AcceptedContact & { readonly zoneSet?: number };

/** So many contacts are written by a statement: to write one takes the event loop for a few milliseconds. */
const mostInStatement = 2_000;

/**
 * Adds contacts to a job that this transaction has locked, numbered on from `lastNumber` in the order given, and skips
 * those whose phone the job has already. Answers the places of the skipped ones. What is in another set of time zones
 * than 0 is to be counted there.
 */
export async function insertContacts(
  trx: Trx,
  organizationId: number,
  jobId: string,
  lastNumber: number,
  contacts: readonly NewContact[],
): Promise<number[]> {
  const skipped: number[] = [];
  for (let done = 0; done < contacts.length; done += mostInStatement) {
    const some = contacts.slice(done, done + mostInStatement);
    skipped.push(...(await insertSome(trx, organizationId, jobId, lastNumber + done - skipped.length, some)));
  }
  return skipped;
}

/**
 * The lateral join makes every look-up go through the phone index, however little the planner knows of the table. In
 * the order of phones the look-ups and the new entries come upon the same pages again, which halves their cost.
 */
async function insertSome(
  trx: Trx,
  organizationId: number,
  jobId: string,
  lastNumber: number,
  contacts: readonly NewContact[],
): Promise<number[]> {
  const zoneSets = contacts.map(({ zoneSet = 0 }) => zoneSet);
  const { rows } = await sql<{ duplicates: number[] }>`
    with given as materialized (
      select g.index, g.phone, g.line, g.zone_set, known.phone is not null as is_duplicate
      from unnest(
        ${contacts.map((c) => c.index)}::int[],
        ${contacts.map((c) => c.phone.slice(1))}::bigint[],
        ${contacts.map((c) => writeLine(c.phone, c.name, JSON.stringify(c.fields)))}::text[],
        ${plainArray(zoneSets.some((zoneSet) => zoneSet > 0) ? zoneSets : [])}::smallint[]
      ) as g (index, phone, line, zone_set)
      left join lateral (
        select p.phone from contact_phones p
        where p.organization_id = ${organizationId} and p.job_id = ${jobId} and p.phone = g.phone
        limit 1
      ) as known on true
      order by g.phone
    ), numbered as materialized (
      select phone, line, zone_set, ${lastNumber}::int + row_number() over (order by index) as number,
        sum(octet_length(line)) over (order by index) / ${blockBytes} as block
      from given where not is_duplicate
    ), phones as (
      insert into contact_phones (organization_id, job_id, phone, number)
      select ${organizationId}, ${jobId}, phone, number from numbered order by phone
    ), added as (
      insert into contact_blocks (organization_id, job_id, first_number, contacts, zone_sets)
      select ${organizationId}, ${jobId}, min(number), ${blockOf(sql`line`, sql`number`)},
        case when max(zone_set) > 0 then array_agg(zone_set order by number) end
      from numbered group by block
    )
    select coalesce(array_agg(index order by index) filter (where is_duplicate), '{}') as duplicates from given
  `.execute(trx);
  return rows[0]?.duplicates ?? [];
}

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
    from batch_jobs j
    where j.organization_id = ${organizationId} and j.id = ${jobId}
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
    from batch_jobs j
    where j.organization_id = ${organizationId} and j.id = ${jobId}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { numbers, ...jobThen } = row;
  // Somebody may have added contacts in other sets between the two.
  if (jobThen.zoneSets > 1) return await readInSets(db, organizationId, jobId, after, size);
  return { ...jobThen, lists: inSet0(numbers?.split(",").map(Number) ?? []) };
}

const allOf = (job: ChunkRow, after: number, size: number): Chunk => ({
  ...job,
  lists: inSet0({ first: after + 1, count: Math.min(size, job.totalContacts - after) }),
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
    from batch_jobs j
    where j.organization_id = ${organizationId} and j.id = ${jobId}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { blocks, called, ...job } = row;
  const upTo = Math.min(after + size, job.totalContacts);
  return { ...job, lists: bySet(blocks ?? "", { after, upTo, without: new Set(called) }) };
}

/** The numbers of contacts in blocks, in order, by their sets. */
function bySet(
  blocks: string,
  { after, upTo, without }: { after: number; upTo: number; without: ReadonlySet<number> },
): NumbersInSet[] {
  const lists = new Map<string, number[]>();
  const add = (number: number, zoneSet: string) => {
    if (number <= after || number > upTo || without.has(number)) return;
    const list = lists.get(zoneSet);
    if (list === undefined) lists.set(zoneSet, [number]);
    else list.push(number);
  };
  const texts = blocks
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
    from batch_jobs j
    where j.organization_id = ${organizationId} and j.id = ${jobId}
  `.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { blocks, ...job } = row;
  if (job.zoneSets <= 1) return allOf(job, after, size);
  const upTo = Math.min(after + size, job.totalContacts);
  return { ...job, lists: bySet(blocks ?? "", { after, upTo, without: new Set() }) };
}

/** More than a contact takes in an answer beside its line. */
export const aroundLine = 300;

/**
 * The contacts of these numbers as they are shown, in order, as many as fit into one answer; and how many the job has
 * of these numbers.
 */
export const readContacts = (
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  numbers: RawBuilder<unknown>,
): Promise<{ contacts: StoredContact[]; found: number }> =>
  readContactsOf(
    db,
    organizationId,
    sql`select number, ${jobId}::uuid, number from (${numbers}) as n (number)`,
  );

/**
 * The same of contacts of several jobs, of which `wanted` selects the place in the answer, the job and the number; the
 * answer has no more than so many bytes beside the line of each.
 */
export async function readContactsOf(
  db: Database | Trx,
  organizationId: number,
  wanted: RawBuilder<unknown>,
  around = aroundLine,
): Promise<{ contacts: StoredContact[]; found: number }> {
  const { rows } = await sql<
    Omit<StoredContact, keyof ContactInput> & {
      line: string;
      zoneSet: number;
      timezone: string | null;
      found: number;
    }
  >`${often}
    select c.job_id as "jobId", c.number, c.line, c.zone_set as "zoneSet", c.found, z.zones[1] as timezone,
      ${contactStatus({ isLeased: sql`l.number is not null`, outcome: sql`a.outcome`, nextAttemptAt: sql`a.next_attempt_at` })} as status,
      coalesce(${endedAttempts({ attempt: sql`a.attempt`, outcome: sql`a.outcome` })}, 0)
        + case when l.number is null then 0 else 1 end as attempts,
      case when a.outcome = 'suppressed' then (
        select outcome from attempts
        where organization_id = ${organizationId} and job_id = c.job_id and number = c.number
          and attempt = a.attempt - 1
      ) else a.outcome end as "lastOutcome",
      case when l.number is null then a.next_attempt_at end as "nextAttemptAt"
    from (
      select n.place, n.job_id, n.number, b.line, b.zone_set, count(*) over ()::int as found,
        sum(octet_length(b.line) + ${around}::int) over (order by n.place) as bytes
      from (${wanted}) as n (place, job_id, number)
      cross join lateral ${lineAndSetOf({ organizationId: sql`${organizationId}`, jobId: sql`n.job_id`, number: sql`n.number` })} as b
      where b.line <> ''
    ) as c
    left join lateral (
      select attempt, outcome, next_attempt_at from attempts
      where organization_id = ${organizationId} and job_id = c.job_id and number = c.number
      order by attempt desc limit 1
    ) as a on true
    left join lateral (
      select number from leases
      where organization_id = ${organizationId} and job_id = c.job_id and number = c.number limit 1
    ) as l on true
    left join lateral (
      select zones from zone_sets
      where c.zone_set > 0 and organization_id = ${organizationId} and job_id = c.job_id and zone_set = c.zone_set
        and is_own
      limit 1
    ) as z on true
    where c.bytes <= ${largestListBytes}
    order by c.place
  `.execute(db);
  const retries = rows.flatMap(({ jobId, zoneSet, nextAttemptAt: at }) =>
    at === null ? [] : [{ jobId, zoneSet, at }],
  );
  const nextAttempt = await readNextAttempts(db, organizationId, retries);
  return {
    contacts: rows.map(({ line, zoneSet, timezone, found: _found, nextAttemptAt: at, ...row }) => ({
      ...row,
      nextAttemptAt: at && nextAttempt({ jobId: row.jobId, zoneSet, at }),
      ...readContact(line),
      ...(timezone === null ? {} : { timezone }),
    })),
    found: rows[0]?.found ?? 0,
  };
}

/** An attempt of all_attempts. */
export const attemptColumns = sql.raw(`
  job_id as "jobId", number, attempt, nonce, worker_id as "workerId", leased_at as "leasedAt",
  expires_at as "expiresAt", ended_at as "endedAt", outcome, reported_at as "reportedAt",
  error_code as "errorCode", failure_reason as "failureReason", call_duration_ms as "callDurationMs",
  provider_call_id as "providerCallId"`);

/** A contact with its attempts, the first one first. */
export async function findContact(
  db: Database,
  organizationId: number,
  jobId: string,
  number: number,
): Promise<{ contact: StoredContact; attempts: Attempt[] } | undefined> {
  const [contact] = (await readContacts(db, organizationId, jobId, sql`select ${number}::int`)).contacts;
  if (contact === undefined) return undefined;
  const attempts = await sql<Attempt>`${often}
    select ${attemptColumns} from all_attempts
    where organization_id = ${organizationId} and job_id = ${jobId} and number = ${number}::int
    order by attempt
  `.execute(db);
  return { contact, attempts: attempts.rows };
}

/** At most so many attempts are looked at for one page, however few contacts are in a status that is asked for. */
const mostLookedAt = 10_000;

/** Up to which number a search after `after` looks, and the job's last number. */
async function searchEnd(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  after: number,
): Promise<{ upTo: number; last: number }> {
  const { rows } = await sql<{ upTo: number; last: number }>`
    select total_contacts as last, least(total_contacts, (
      select number - 1 from attempts
      where organization_id = ${organizationId} and job_id = ${jobId} and number > ${after}::int
      order by number offset ${mostLookedAt} limit 1
    )) as "upTo"
    from batch_jobs where organization_id = ${organizationId} and id = ${jobId}
  `.execute(db);
  return rows[0] ?? { upTo: 0, last: 0 };
}

/**
 * The first `size` numbers after `after` of contacts in these statuses, and up to where they were looked for if not to
 * the end.
 */
async function findNumbers(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  statuses: readonly StoredContactStatus[],
  { after, size }: { after: number; size: number },
): Promise<{ numbers: RawBuilder<unknown>; stoppedAt: number | undefined }> {
  const final = statuses.filter((s) => s !== "pending" && s !== "dialing" && s !== "waiting_retry");
  const isSearch = final.length > 0 || statuses.includes("pending");
  const { upTo, last } = isSearch
    ? await searchEnd(db, organizationId, jobId, after)
    : { upTo: lastNumber, last: lastNumber };
  const among = sql`
    organization_id = ${organizationId} and job_id = ${jobId} and number > ${after}::int and number <= ${upTo}::int`;
  const found: RawBuilder<unknown>[] = [sql`select null::int as number where false`];
  if (final.length > 0) {
    found.push(sql`
      select number from attempts
      where ${among} and next_attempt_at is null and outcome = any(${final}::text[])
      order by number limit ${size}`);
  }
  if (statuses.includes("waiting_retry")) {
    found.push(sql`select number from retries where ${among} order by number limit ${size}`);
  }
  if (statuses.includes("dialing")) {
    found.push(sql`select number from leases where ${among} order by number limit ${size}`);
  }
  if (statuses.includes("pending"))
    found.push(pendingNumbers(organizationId, jobId, after, sql`${upTo}::int`, size));
  const all = sql.join(
    found.map((some) => sql`(${some})`),
    sql` union all `,
  );
  return {
    numbers: sql`select number from (${all}) as found order by number limit ${size}`,
    stoppedAt: upTo < last ? upTo : undefined,
  };
}

/** No contact has a larger number. */
const lastNumber = 2 ** 31 - 1;

/**
 * The first `size` contacts of a job after `after`, by number, that are in one of the statuses; fewer where more would
 * not fit into one answer, or where the search has looked at as much as one page may. The list goes on after
 * `goesOnAfter`; undefined at its end.
 */
export async function listContacts(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  statuses: readonly StoredContactStatus[] | undefined,
  page: { after: number; size: number },
): Promise<{ contacts: StoredContact[]; goesOnAfter: number | undefined }> {
  const { after, size } = page;
  // One more tells whether there are more.
  const { numbers, stoppedAt } =
    statuses === undefined
      ? { numbers: numbersUpTo(organizationId, jobId, after, size + 1), stoppedAt: undefined }
      : await findNumbers(db, organizationId, jobId, statuses, { after, size: size + 1 });
  const { contacts, found } = await readContacts(db, organizationId, jobId, numbers);
  const shown = contacts.slice(0, size);
  return { contacts: shown, goesOnAfter: shown.length < found ? shown.at(-1)?.number : stoppedAt };
}

const numbersUpTo = (organizationId: number, jobId: string, after: number, size: number) => sql`
  select generate_series(
    ${after}::bigint + 1,
    least(${after + size}::bigint, (
      select total_contacts from batch_jobs where organization_id = ${organizationId} and id = ${jobId}))
  )::int`;

/**
 * Removes up to `size` contacts of one deleted job. Answers false if there was nothing to do, or if other replicas are
 * at work on all there is.
 */
export async function purgeDeletedContacts(db: Database, size: number): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const job = await trx
      .selectFrom("deleted_jobs")
      .selectAll()
      .limit(1)
      .forUpdate()
      .skipLocked()
      .executeTakeFirst();
    if (job === undefined) return false;
    const { organization_id, job_id } = job;
    const first = job.last_number - size;
    await trx
      .deleteFrom("contact_blocks")
      .where("organization_id", "=", organization_id)
      .where("job_id", "=", job_id)
      .where("first_number", ">", first)
      .execute();
    for (const table of ["attempts", "retries"] as const) {
      await trx
        .deleteFrom(table)
        .where("organization_id", "=", organization_id)
        .where("job_id", "=", job_id)
        .where("number", ">", first)
        .execute();
    }
    await trx
      .deleteFrom("events")
      .where("organization_id", "=", organization_id)
      .where("batch_job_id", "=", job_id)
      .where("number", ">", first)
      .execute();
    for (const table of ["zone_sets", "progress", "history", "rejected_rows"] as const) {
      await trx
        .deleteFrom(table)
        .where("organization_id", "=", organization_id)
        .where("job_id", "=", job_id)
        .execute();
    }
    // As many phones as contacts, so that none are left when the last contacts go.
    await sql`
      delete from contact_phones where organization_id = ${organization_id} and job_id = ${job_id} and phone = any (array(
        select phone from contact_phones where organization_id = ${organization_id} and job_id = ${job_id}
        order by phone limit ${size}))
    `.execute(trx);
    if (first > 0) {
      await trx
        .updateTable("deleted_jobs")
        .set({ last_number: first })
        .where("organization_id", "=", organization_id)
        .where("job_id", "=", job_id)
        .execute();
    } else {
      await trx
        .deleteFrom("deleted_jobs")
        .where("organization_id", "=", organization_id)
        .where("job_id", "=", job_id)
        .execute();
    }
    return true;
  });
}
