import { type RawBuilder, sql } from "kysely";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import type { StoredContact } from "../../domain/contacts/contact.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { isPhoneIn, phoneNumber, placeOfPhone } from "../contacts/contact-blocks.ts";
import { aroundLine, readContactsOf } from "../contacts/contacts.ts";
import type { Database } from "../connections/database.ts";
import { toBatchJob } from "../jobs/job-rows.ts";
import { type JobCursor, afterCursor, isAnyTime } from "../jobs/job-search.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { numberAmongSorted } from "./sorted-phones.ts";
import type { BatchJobRow } from "../schema/tables.ts";

/** At most so many jobs are looked at for one page. */
const mostLookedAt = 10_000;

/** And so many contacts that are in no index: a fraction of a second of work. */
const mostScanned = 2_000_000;

/** More than what is said of its job takes in an answer beside a contact: a name, of at most 200 characters. */
const ofItsJob = 900;

type Sql = RawBuilder<unknown>;

/** Where a job has the phone, or what is in no index: of its contacts those after a number, if the job has them. */
type Candidate = {
  readonly job: BatchJob;
  readonly number: number | null;
  readonly scanAfter: number | null;
};

const own = (organizationId: number): Sql => sql`organization_id = ${organizationId} and job_id = j.id`;

/** The jobs in which a phone is, or may be, newest first, up to `size`, and where the walk over them stopped. */
async function findCandidates(
  db: Database | Trx,
  organizationId: number,
  phone: string,
  page: Wanted,
): Promise<{ candidates: Candidate[]; stoppedAt: JobCursor | undefined }> {
  const digits = phoneNumber(phone);
  const sorted = numberAmongSorted(
    { organizationId: sql`${organizationId}`, id: sql`j.id`, sortedUpTo: sql`j.sorted_up_to` },
    digits,
  );
  const { rows } = await sql<
    BatchJobRow & { place: number; number: number | null; scan_after: number | null }
  >`
    select j.*, hit.number, hit.scan_after
    from (
      select *, row_number() over (order by created_at desc, id desc)::int as place from batch_jobs
      where organization_id = ${organizationId} and ${isAnyTime} and ${afterCursor(page.after, sql`id`)}
      order by created_at desc, id desc limit ${mostLookedAt}
    ) as j
    left join lateral (
      select * from (
        (
          select number, case when number is null then 0 end as scan_after from contact_phones
          where j.has_all_phones and ${own(organizationId)} and phone = ${digits} limit 1
        )
        union all
        (select number, null from (${sorted}) as sorted where not j.has_all_phones)
        union all
        (select null, j.sorted_up_to where not j.has_all_phones and j.sorted_up_to < j.total_contacts)
      ) as either limit 1
    ) as hit on true
    where hit.number is not null or hit.scan_after is not null or place = ${mostLookedAt}
    order by j.created_at desc, j.id desc limit ${page.size}
  `.execute(db);
  const last = rows.at(-1);
  return {
    candidates: rows
      .filter((row) => row.number !== null || row.scan_after !== null)
      .map((row) => ({ job: toBatchJob(row), number: row.number, scanAfter: row.scan_after })),
    stoppedAt: last?.place === mostLookedAt ? { createdAt: last.created_at, id: last.id } : undefined,
  };
}

/** The number of the contact with a phone among those of a job after a number, each of which is looked at. */
export async function scanForPhone(
  db: Database | Trx,
  organizationId: number,
  jobId: string,
  phone: string,
  after: number,
): Promise<number | undefined> {
  const ofJob = sql`organization_id = ${organizationId} and job_id = ${jobId}`;
  const { rows } = await sql<{ firstNumber: number; contacts: string }>`
    select first_number as "firstNumber", contacts from contact_blocks
    where ${ofJob} and first_number >= coalesce((
        select max(first_number) from contact_blocks where ${ofJob} and first_number <= ${after}::int + 1), 1)
      and ${isPhoneIn(sql`contacts`, phone)}
    order by first_number limit 1
  `.execute(db);
  const [block] = rows;
  return block && block.firstNumber + placeOfPhone(block.contacts, phone);
}

/** A contact that was found. */
type Place = { readonly job: BatchJob; readonly number: number };

/** The page of a search, and after which job the search goes on. */
type Page<T> = { readonly found: T[]; readonly goesOnAfter: JobCursor | undefined };

type Wanted = { readonly after: JobCursor | undefined; readonly size: number };

const cursorOf = ({ createdAt, id }: BatchJob): JobCursor => ({ createdAt, id });

/**
 * Where a phone is, in each job that has it, the newest job first. A search that has looked at as much as one page may
 * stops there; it goes on after that job.
 */
export async function findPlaces(
  db: Database | Trx,
  organizationId: number,
  phone: string,
  { after, size }: Wanted,
): Promise<Page<Place>> {
  // One more tells whether there are more.
  const { candidates, stoppedAt } = await findCandidates(db, organizationId, phone, {
    after,
    size: size + 1,
  });
  const found: Place[] = [];
  let scanned = 0;
  for (const [i, { job, number, scanAfter }] of candidates.entries()) {
    const last = candidates[i - 1];
    if (last !== undefined && (i === size || scanned > mostScanned))
      return { found, goesOnAfter: cursorOf(last.job) };
    if (scanAfter !== null) scanned += job.totalContacts - scanAfter;
    const place = number ?? (await scanForPhone(db, organizationId, job.id, phone, scanAfter ?? 0));
    if (place !== undefined) found.push({ job, number: place });
  }
  return { found, goesOnAfter: stoppedAt };
}

export type FoundContact = { readonly job: BatchJob; readonly contact: StoredContact };

/** The contacts with a phone, one for each job that has it; as many as fit into one answer. */
export async function findContactsByPhone(
  db: Database | Trx,
  organizationId: number,
  phone: string,
  page: Wanted,
): Promise<Page<FoundContact>> {
  const places = await findPlaces(db, organizationId, phone, page);
  const jobs = new Map(places.found.map(({ job }) => [job.id, job]));
  const { contacts } = await readContactsOf(
    db,
    organizationId,
    sql`
      select place, job_id, number
      from unnest(
        ${plainArray([...jobs.keys()])}::uuid[], ${plainArray(places.found.map(({ number }) => number))}::int[]
      ) with ordinality as wanted (job_id, number, place)`,
    aroundLine + ofItsJob,
  );
  const found = contacts.flatMap((contact) => {
    const job = jobs.get(contact.jobId);
    return job === undefined ? [] : [{ job, contact }];
  });
  const last = found.at(-1);
  const isCut = last !== undefined && found.length < places.found.length;
  return { found, goesOnAfter: isCut ? cursorOf(last.job) : places.goesOnAfter };
}
