import { sql } from "kysely";
import type { AcceptedContact } from "../../domain/contacts/contact.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { blockBytes, blockOf, writeLine } from "./contact-blocks.ts";
import { plainArray } from "../leasing/lease-rows.ts";

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
