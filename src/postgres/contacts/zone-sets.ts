import { sql } from "kysely";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import { type JobKey, isUuid } from "../../domain/jobs/job-id.ts";
import type { CountedSet, ZoneSet } from "../../domain/time/zone-sets.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";
import { plainArray } from "../leasing/lease-rows.ts";
import { often } from "../connections/prepared.ts";
import { isOwnedAs } from "../owned.ts";

/*
 * A job with hours has a row for each set of time zones that its contacts are in. Whoever writes such a row has locked
 * its job.
 */

/** Writes the rows of jobs that have hours now, if they are not there: closed until they are reckoned. */
export async function insertZoneSets(trx: Trx, jobs: readonly JobKey[]): Promise<void> {
  if (jobs.length === 0) return;
  const rows = jobs.map(({ organizationId, id }) => ({
    organization_id: organizationId,
    job_id: id,
    zone_set: 0,
  }));
  await trx
    .insertInto("zone_sets")
    .values(rows)
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** The sets of a job other than 0, in the order of their numbers. */
export async function readZoneSets(db: Database | Trx, { organizationId, id }: JobKey): Promise<ZoneSet[]> {
  const { rows } = await sql<ZoneSet>`${often}
    select zone_set as "zoneSet", zones, is_own as "isOwn" from zone_sets
    where organization_id = ${organizationId} and job_id = ${id} and zone_set > 0
    order by zone_set
  `.execute(db);
  return rows;
}

/** How many contacts of a job are pending, or wait for a retry, in each of its sets that has any. */
export async function openInSets(
  db: Database,
  job: BatchJob,
): Promise<{ zoneSet: number; zones: readonly string[]; pending: number; waiting: number }[]> {
  const { rows } = await sql<{ zoneSet: number; zones: string[]; pending: number; waiting: number }>`
    select z.zone_set as "zoneSet", z.zones, z.pending_contacts as pending, (
      select count(*)::int from retries r
      where r.organization_id = z.organization_id and r.job_id = z.job_id and r.zone_set = z.zone_set and r.zone_set > 0
    ) as waiting
    from zone_sets z
    where z.organization_id = ${job.organizationId} and z.job_id = ${job.id} and z.zone_set > 0
    order by z.zone_set
  `.execute(db);
  const restOf = (all: number, key: "pending" | "waiting") =>
    Math.max(
      0,
      rows.reduce((rest, row) => rest - row[key], all),
    );
  const inSet0 = {
    zoneSet: 0,
    zones: [job.timeZone],
    pending: restOf(job.counts.pending, "pending"),
    waiting: restOf(job.counts.waiting_retry, "waiting"),
  };
  return [inSet0, ...rows].filter(({ pending, waiting }) => pending + waiting > 0);
}

/** Whether contacts of the job are in the zones of their numbers, which stays as it is; false if it is not there. */
export async function hasZonesFromPhone(
  db: Database,
  organizationId: number,
  jobId: string,
): Promise<boolean> {
  if (!isUuid(jobId)) return false;
  const { rows } = await sql<{ zonesFromPhone: boolean }>`${often}
    select zones_from_phone as "zonesFromPhone" from batch_jobs
    where organization_id = ${organizationId} and id = ${jobId}
  `.execute(db);
  return rows[0]?.zonesFromPhone === true;
}

/**
 * Counts contacts that were added to sets of a job which the transaction has locked, or inserted, and enters those sets
 * that are new; all that the job has are given. Of a new one the openings are to be reckoned then, if the job runs.
 */
export async function countInSets(trx: Trx, job: JobKey, sets: readonly CountedSet[]): Promise<void> {
  if (sets.length === 0) return;
  await insertZoneSets(trx, [job]);
  await trx
    .insertInto("zone_sets")
    .values(
      sets.map(({ zoneSet, zones, isOwn, contacts }) => ({
        organization_id: job.organizationId,
        job_id: job.id,
        zone_set: zoneSet,
        zones: [...zones],
        is_own: isOwn,
        contacts,
        pending_contacts: contacts,
      })),
    )
    .onConflict((conflict) =>
      conflict.columns(["organization_id", "job_id", "zone_set"]).doUpdateSet({
        contacts: sql`zone_sets.contacts + excluded.contacts`,
        pending_contacts: sql`zone_sets.pending_contacts + excluded.pending_contacts`,
      }),
    )
    .execute();
  await trx
    .updateTable("batch_jobs")
    .set({ zone_sets: sets.length + 1 })
    .where("organization_id", "=", job.organizationId)
    .where("id", "=", job.id)
    .execute();
}

/** Counts contacts as pending again in their sets. The transaction has locked their jobs. */
export async function countPendingAgain(
  trx: Trx,
  organizationId: number,
  contacts: readonly { readonly jobId: string; readonly zoneSet: number }[],
): Promise<void> {
  const inSets = contacts.filter(({ zoneSet }) => zoneSet > 0);
  if (inSets.length === 0) return;
  await sql`
    update zone_sets z set pending_contacts = z.pending_contacts + g.contacts
    from (
      select ${organizationId}::int as organization_id, job_id, zone_set, count(*)::int as contacts
      from unnest(
        ${plainArray(inSets.map(({ jobId }) => jobId))}::uuid[], ${plainArray(inSets.map(({ zoneSet }) => zoneSet))}::smallint[]
      ) as given (job_id, zone_set)
      group by job_id, zone_set
    ) as g
    where ${isOwnedAs("z", "g")} and z.job_id = g.job_id and z.zone_set = g.zone_set
  `.execute(trx);
}
