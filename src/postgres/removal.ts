import { sql } from "kysely";
import type { By } from "../domain/event.ts";
import type { Database } from "./connections/database.ts";
import { telling } from "./events/events.ts";
import { deleteEndpoint } from "./events/webhook-endpoints.ts";
import type { Trx } from "./jobs/batch-jobs.ts";
import { lockOrganization } from "./jobs/locks.ts";
import type { Tables } from "./schema/tables.ts";

/*
 * An organization is removed in steps that may be begun again: its keys are revoked and its endpoints taken away, then,
 * once no replica takes its keys any more, its rows go, some at a time, and itself at last.
 */

/** What is of an organization, in the order in which it goes: what a job takes along with it before the jobs. */
export const ownedTables = [
  "sorted_phones",
  "job_labels",
  "batch_jobs",
  "webhook_endpoints",
  "webhook_deliveries",
  "leases",
  "retries",
  "attempts",
  "contact_blocks",
  "contact_phones",
  "zone_sets",
  "progress",
  "history",
  "rejected_rows",
  "deleted_jobs",
  "suppressed_phones",
  "erased_phones",
  "requests",
  "events",
  "event_heads",
  "stored_contacts",
  "api_keys",
] as const satisfies readonly Exclude<keyof Tables, "organizations" | "installation" | "all_attempts">[];

/** What keeps an organization from being removed: jobs that may call, and calls that go on. */
export type Remainder = { readonly jobs: number; readonly dialing: number };

export async function findRemainder(db: Database | Trx, organizationId: number): Promise<Remainder> {
  const { rows } = await sql<Remainder>`
    select (
      select count(*)::int from batch_jobs
      where organization_id = ${organizationId} and status in ('scheduled', 'running', 'paused')) as jobs, dialing
    from organizations where id = ${organizationId}
  `.execute(db);
  return rows[0] ?? { jobs: 0, dialing: 0 };
}

/** Revokes all keys of an organization, and has nothing sent to its endpoints any more. */
export async function closeOrganization(db: Database, organizationId: number, by: By): Promise<void> {
  await db.transaction().execute((trx) =>
    telling(trx, organizationId, async (tell) => {
      await lockOrganization(trx, organizationId);
      const revoked = await trx
        .updateTable("api_keys")
        .set({ revoked_at: sql<Date>`clock_timestamp()` })
        .where("organization_id", "=", organizationId)
        .where("revoked_at", "is", null)
        .returning(["id", "role"])
        .execute();
      for (const { id, role } of revoked) {
        tell({ type: "api_key.revoked", ...by, data: { apiKeyId: id, role } });
      }
      const endpoints = await trx
        .selectFrom("webhook_endpoints")
        .select(["organization_id as organizationId", "id"])
        .where("organization_id", "=", organizationId)
        .where("status", "<>", "deleted")
        .execute();
      for (const endpoint of endpoints) await deleteEndpoint(trx, endpoint);
    }),
  );
}

/** Keeps a commit far below the time that a statement may take; a row may be a block of contacts. */
const rowsAtOnce = 1_000;

/** Removes a closed organization with all that it has. */
export async function removeOrganization(db: Database, organizationId: number): Promise<void> {
  for (const table of ownedTables) {
    let removed = rowsAtOnce;
    while (removed === rowsAtOnce) removed = await removeSome(db, table, organizationId);
  }
  await db.transaction().execute(async (trx) => {
    // Whoever adds a key or a job waits for it, and finds no organization.
    await sql`select from organizations where id = ${organizationId} for update`.execute(trx);
    for (const table of ownedTables) {
      await trx.deleteFrom(table).where("organization_id", "=", organizationId).execute();
    }
    await sql`delete from organizations where id = ${organizationId}`.execute(trx);
  });
}

/**
 * They are found by their places alone: any index of the organization is as good to a planner that takes the table to
 * be empty. No row changes its organization, and no place is another row's as long as a statement sees this one.
 */
async function removeSome(
  db: Database,
  table: (typeof ownedTables)[number],
  organizationId: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from ${sql.table(table)} where ctid = any (array(
      select ctid from ${sql.table(table)} where organization_id = ${organizationId} limit ${rowsAtOnce}))
  `.execute(db);
  return Number(numAffectedRows ?? 0);
}
