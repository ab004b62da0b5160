import { type RawBuilder, sql } from "kysely";
import { phoneNumber, phonesBetween } from "../contacts/contact-blocks.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";

/*
 * The phones of contacts that came with a file, or from another job, in the order of phones: many to a row, with the
 * numbers of their contacts. A row for each, as contact_phones has them, would take such contacts more room than they
 * have, and more time than their import. A job whose phones are in contact_phones is not looked for here.
 *
 * They are sorted when their job is there, a part after the other: while a part is written its job is locked. What is
 * not sorted yet is looked for in the blocks.
 */

/** Of so many contacts, by number, a part is. Rows that are there are in such parts, so that it never changes. */
const contactsInPart = 10_000;

/** A row with more would be compressed, and kept apart, by Postgres. */
const phonesInRow = 140;

/**
 * Sorts the next part of a job that has contacts which are not sorted, and that nobody else has locked. False if there
 * is none.
 */
export async function sortPhones(db: Database): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const job = await trx
      .selectFrom("batch_jobs")
      .select(["organization_id", "id", "sorted_up_to", "total_contacts"])
      .where(sql<boolean>`not has_all_phones and sorted_up_to < total_contacts`)
      .limit(1)
      .forNoKeyUpdate()
      .skipLocked()
      .executeTakeFirst();
    if (job === undefined) return false;
    const { organization_id: organizationId, id, sorted_up_to: after } = job;
    const upTo = Math.min(after + contactsInPart, job.total_contacts);
    await sql`
      insert into sorted_phones (organization_id, job_id, part, first_phone, phones, numbers)
      select ${organizationId}, ${id}, ${after / contactsInPart}::int, min(phone), array_agg(phone order by phone),
        array_agg(number order by phone)
      from (
        select phone, number, (row_number() over (order by phone) - 1) / ${phonesInRow}::int as place
        from ${phonesBetween({ organizationId, id }, after, upTo)} as phones
      ) as placed
      group by place
    `.execute(trx);
    await trx
      .updateTable("batch_jobs")
      .set({ sorted_up_to: upTo })
      .where("organization_id", "=", organizationId)
      .where("id", "=", id)
      .execute();
    return true;
  });
}

/** The number of the contact with this phone among those of a job that are sorted, in SQL: a row, or none. */
export const numberAmongSorted = (
  job: Readonly<Record<"organizationId" | "id" | "sortedUpTo", RawBuilder<unknown>>>,
  phone: RawBuilder<unknown>,
): RawBuilder<unknown> => sql`
  select found.number
  from generate_series(0, (${job.sortedUpTo} - 1) / ${contactsInPart}::int) as parts (part)
  cross join lateral (
    select numbers[array_position(phones, ${phone})] as number from sorted_phones
    where organization_id = ${job.organizationId} and job_id = ${job.id} and part = parts.part
      and first_phone <= ${phone}
    order by first_phone desc limit 1
  ) as found
  where found.number is not null limit 1`;

/** Takes a phone out of the sorted ones of its job, in the part that its contact is in. */
export async function removeSorted(
  trx: Trx,
  contact: {
    readonly organizationId: number;
    readonly jobId: string;
    readonly number: number;
    readonly phone: string;
  },
): Promise<void> {
  const { organizationId, jobId, number } = contact;
  const phone = phoneNumber(contact.phone);
  const ofPart = sql`
    organization_id = ${organizationId} and job_id = ${jobId}
    and part = ${Math.floor((number - 1) / contactsInPart)}::int and first_phone <= ${phone}`;
  await sql`delete from sorted_phones where ${ofPart} and phones = array[${phone}]`.execute(trx);
  const others = sql`array_remove(phones, ${phone})`;
  await sql`
    update sorted_phones
    set phones = ${others}, numbers = array_remove(numbers, ${number}::int), first_phone = (${others})[1]
    where ${ofPart} and ${phone} = any(phones)
  `.execute(trx);
}
