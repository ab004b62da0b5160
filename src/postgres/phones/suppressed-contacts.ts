import { sql } from "kysely";
import type { SuppressedInSet } from "../../domain/jobs/holds.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import { linesWithPlaces } from "../contacts/contact-blocks.ts";
import type { Database } from "../connections/database.ts";
import { functions } from "../functions/functions.ts";

/** So many contacts are a tenth of a second of work. */
const atATime = 50_000;

/** How many contacts of a job are to be called whose phone is suppressed, by their sets of time zones. */
export async function countSuppressed(
  db: Database,
  job: JobKey & { readonly totalContacts: number },
): Promise<SuppressedInSet[]> {
  const sets = new Map<number, SuppressedInSet>();
  for (let after = 0; after < job.totalContacts; after += atATime) {
    for (const { zoneSet, pending, waiting } of await countSuppressedAmong(db, job, {
      after,
      upTo: after + atATime,
    })) {
      const before = sets.get(zoneSet) ?? { pending: 0, waiting: 0 };
      sets.set(zoneSet, {
        zoneSet,
        pending: before.pending + pending,
        waiting: before.waiting + waiting,
      });
    }
  }
  return [...sets.values()];
}

/** The same of those of the job's blocks whose first numbers are after one number, and not after another. */
export async function countSuppressedAmong(
  db: Database,
  { organizationId, id }: JobKey,
  { after, upTo }: { readonly after: number; readonly upTo: number },
): Promise<SuppressedInSet[]> {
  const { rows } = await sql<SuppressedInSet>`
    select c.zone_set as "zoneSet", (count(*) filter (where a.outcome is null))::int as pending,
      (count(*) filter (where a.outcome is not null))::int as waiting
    from (
      select organization_id, id from batch_jobs
      where organization_id = ${organizationId} and id = ${id} and (
        select suppressed_phones > 0 from organizations where id = ${organizationId})
    ) as j
    cross join lateral (
      select first_number + place::int - 1 as number, line, coalesce(zone_sets[place::int], 0) as zone_set
      from contact_blocks cross join lateral ${linesWithPlaces(sql`contacts`)} as t (line, place)
      where organization_id = j.organization_id and job_id = j.id
        and first_number > ${after}::int and first_number <= ${upTo}::int
    ) as c
    cross join lateral (
      select phone from suppressed_phones
      where organization_id = j.organization_id and phone = ${sql.id(functions.contactPhone.name)}(c.line)
        and expires_at > clock_timestamp()
      limit 1
    ) as s
    left join lateral (
      select outcome, next_attempt_at from attempts
      where organization_id = j.organization_id and job_id = j.id and number = c.number
      order by attempt desc limit 1
    ) as a on true
    left join lateral (
      select true as is_leased from leases
      where organization_id = j.organization_id and job_id = j.id and number = c.number limit 1
    ) as l on true
    where l.is_leased is null and (a.outcome is null or a.next_attempt_at is not null)
    group by c.zone_set
  `.execute(db);
  return rows;
}
