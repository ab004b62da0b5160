import { setTimeout as rest } from "node:timers/promises";
import { sql } from "kysely";
import type { AcceptedContact } from "../../domain/contacts/contact.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { blockBytes, blockOf, writeLine } from "./contact-blocks.ts";
import { functions } from "../functions/functions.ts";
import { plainArray } from "../leasing/lease-rows.ts";

/** Contacts, and for each the number of the set of time zones that it is in; none if all are in 0. */
type NewContacts = { readonly contacts: readonly AcceptedContact[]; readonly zoneSets: readonly number[] };

/** So many contacts are written by a statement: to write one takes the event loop for a few milliseconds. */
const mostInStatement = 1_000;
/** So long is left between two of them where the event loop had little rest since the one before. */
const restMs = 3;

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
  { contacts, zoneSets }: NewContacts,
): Promise<number[]> {
  const skipped: number[] = [];
  let before = performance.eventLoopUtilization();
  for (let done = 0; done < contacts.length; done += mostInStatement) {
    if (done > 0 && performance.eventLoopUtilization(before).utilization > 0.5) await rest(restMs);
    before = performance.eventLoopUtilization();
    const some = {
      contacts: contacts.slice(done, done + mostInStatement),
      zoneSets: zoneSets.slice(done, done + mostInStatement),
    };
    const places = await insertSome(trx, organizationId, jobId, lastNumber + done - skipped.length, some);
    for (const place of places) skipped.push(done + place);
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
  { contacts, zoneSets }: NewContacts,
): Promise<number[]> {
  // As one text, for the driver looks through each element of an array of texts three times.
  const lines = contacts.map(({ phone, name, fields }) => writeLine(phone, name, JSON.stringify(fields)));
  const { rows } = await sql<{ duplicates: number[] }>`
    with given as materialized (
      select g.place, g.phone, g.line, g.zone_set, known.phone is not null as is_duplicate
      from (
        select place, line, zone_set, ${sql.id(functions.contactPhone.name)}(line) as phone
        from unnest(
          string_to_array(${lines.join("\n")}::text, chr(10)),
          ${plainArray(zoneSets.some((zoneSet) => zoneSet > 0) ? zoneSets : [])}::smallint[]
        ) with ordinality as t (line, zone_set, place)
      ) as g
      left join lateral (
        select p.phone from contact_phones p
        where p.organization_id = ${organizationId} and p.job_id = ${jobId} and p.phone = g.phone
        limit 1
      ) as known on true
      order by g.phone
    ), numbered as materialized (
      select phone, line, zone_set, ${lastNumber}::int + row_number() over (order by place) as number,
        sum(octet_length(line)) over (order by place) / ${blockBytes} as block
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
    select coalesce(array_agg(place::int - 1 order by place) filter (where is_duplicate), '{}') as duplicates from given
  `.execute(trx);
  return rows[0]?.duplicates ?? [];
}
