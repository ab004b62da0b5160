import { type RawBuilder, sql } from "kysely";
import { type Noted, mostSlots, slotMs } from "../../domain/jobs/history.ts";
import { type StoredContactStatus, storedContactStatuses } from "../../domain/contacts/contact.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import type { Database } from "../connections/database.ts";
import { asJobRows, isAsked } from "./job-rows.ts";

/*
 * The counts of running jobs over time: a row for each slot of a job's time in which they have changed, and no more
 * rows however old it gets, since slots become longer with it. No lease and no report touches them. Any replica writes
 * any of them; whoever comes second in a slot finds it taken.
 */

/** All of them, and in each status, in this order: it is not changed, since rows have it. */
const countsOfJob = sql`array[${sql.join(
  ["total", ...storedContactStatuses].map((name) => sql.ref(`b.${name}_contacts`)),
)}]`;

/** Slots of the first length since the start. */
const age = sql`greatest(0, floor(extract(epoch from clock_timestamp() - b.started_at) * 1000 / ${sql.lit(slotMs)}))::int`;

/** How many of them make one, as `slotsInOne` says. */
const slotsInOne = (slot: RawBuilder<unknown>) =>
  sql`(1 << greatest(0, ceil(log(2, (${slot} + 1) / ${sql.lit(mostSlots)}.0)))::int)`;

/** The last row of a job. */
const lastNoted = sql`lateral (
  select slot, counts, ended_attempts from history
  where organization_id = b.organization_id and job_id = b.id
  order by slot desc limit 1
) as last`;

/**
 * The running jobs after this one, in the order of their organizations and ids, whose counts have changed since they
 * were last noted, or that never were.
 */
export async function jobsToNote(db: Database, after: JobKey, limit: number): Promise<JobKey[]> {
  const { rows } = await sql<JobKey>`
    select b.organization_id as "organizationId", b.id
    from batch_jobs b
    left join ${lastNoted} on true
    where b.status = 'running' and (b.organization_id, b.id) > (${after.organizationId}, ${after.id})
      -- Where all are tried again the counts may be the same, and the attempts others.
      and (last.counts is distinct from ${countsOfJob} or last.ended_attempts < b.ended_attempts)
      and coalesce(last.slot, -1) < ${age} / ${slotsInOne(age)} * ${slotsInOne(age)}
    order by b.organization_id, b.id
    limit ${limit}
  `.execute(db);
  return rows;
}

/**
 * Notes the counts of jobs of one organization, each in the slot that it is in now, and makes one of two slots where
 * these have become longer since the last. The commit is not waited for: what a crash takes away is one row for each.
 */
export async function noteCounts(
  db: Database,
  organizationId: number,
  ids: readonly string[],
): Promise<void> {
  await sql`
    with unhurried as materialized (
      select set_config('synchronous_commit', 'off', true)
    ), jobs as materialized (
      select b.organization_id, b.id, ${age} / ${slotsInOne(age)} * ${slotsInOne(age)} as slot,
        ${slotsInOne(age)} as in_one, last.slot as last_slot, ${countsOfJob} as counts,
        b.ended_attempts
      from unhurried cross join ${asJobRows(ids.map((id) => ({ organizationId, id })))}
      join batch_jobs b on ${isAsked}
      left join ${lastNoted} on true
      where b.status = 'running'
    ), joined as (
      delete from history h using jobs j
      where j.in_one > ${slotsInOne(sql`j.last_slot`)}
        and h.organization_id = j.organization_id and h.job_id = j.id
        and exists (
          select from history later
          where later.organization_id = j.organization_id and later.job_id = j.id
            and later.slot > h.slot and later.slot < (h.slot / j.in_one + 1) * j.in_one
        )
    )
    insert into history (organization_id, job_id, slot, noted_at, counts, ended_attempts)
    select organization_id, id, slot, clock_timestamp(), counts, ended_attempts from jobs
    where slot > coalesce(last_slot, -1)
    order by id
    on conflict (organization_id, job_id, slot) do nothing
  `.execute(db);
}

/** What was noted of a job, oldest first. */
export async function readNoted(db: Database, { organizationId, id }: JobKey): Promise<Noted[]> {
  // What a version before has noted goes on from what is known.
  const { rows } = await sql<{ slot: number; at: Date; counts: number[]; endedAttempts: number }>`
    select slot, noted_at as at, counts,
      coalesce(max(ended_attempts) over (order by slot), 0) as "endedAttempts"
    from history
    where organization_id = ${organizationId} and job_id = ${id}
    order by slot
  `.execute(db);
  return rows.map(({ slot, at, endedAttempts, counts: [totalContacts = 0, ...counts] }) => ({
    slot,
    atMs: at.getTime(),
    totalContacts,
    endedAttempts,
    counts: Object.fromEntries(storedContactStatuses.map((status, i) => [status, counts[i] ?? 0])) as Record<
      StoredContactStatus,
      number
    >,
  }));
}
