import { sql } from "kysely";
import type { Database } from "../connections/database.ts";

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
