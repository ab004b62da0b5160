import { sql } from "kysely";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import type { Database } from "../connections/database.ts";

/*
 * How many contacts the jobs of an organization have together; those of deleted jobs are not among them. Triggers count
 * them, in the transaction of whatever adds or deletes some, which holds the row of the count from then on.
 */

type Stored = { stored: number; limit: number };

/** Undefined if there is no limit. */
async function read(db: Database | Trx, organizationId: number): Promise<Stored | undefined> {
  const { rows } = await sql<Stored>`
    select coalesce(s.contacts, 0) as stored, o.stored_contact_limit as "limit"
    from organizations o left join stored_contacts s on s.organization_id = o.id
    where o.id = ${organizationId} and o.stored_contact_limit is not null
  `.execute(db);
  return rows[0];
}

function limitExceeded({ stored, limit }: Stored): BatchJobError {
  const free = Math.max(0, limit - stored);
  return new BatchJobError(
    "limit_exceeded",
    `The organization may store ${limit} contacts and has ${stored}: give at most ${free}, delete batch jobs that are no longer needed, or have an admin raise stored_contact_limit.`,
    { limit: String(limit), stored: String(stored), free: String(free) },
  );
}

/** Refuses what this transaction has added, and the triggers have counted, if that is more than there may be. */
export async function checkStoredContacts(trx: Trx, organizationId: number, added: number): Promise<void> {
  if (added === 0) return;
  const all = await read(trx, organizationId);
  if (all === undefined || all.stored <= all.limit) return;
  throw limitExceeded({ ...all, stored: all.stored - added });
}

/** Refuses if there is no room for a single contact. Decides nothing: others may add some meanwhile, or delete. */
export async function checkRoom(db: Database, organizationId: number): Promise<void> {
  const all = await read(db, organizationId);
  if (all !== undefined && all.stored >= all.limit) throw limitExceeded(all);
}
