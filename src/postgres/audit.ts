import { sql } from "kysely";
import type { Trx } from "./batch-jobs.ts";
import type { Database } from "./database.ts";

/*
 * Who did what, and when. An entry is written in the transaction of what it tells of. There are no phones and no names
 * of people in it, nor why a phone is suppressed.
 */

export type AuditType =
  | "batch_job.created"
  | "batch_job.contacts_added"
  | "batch_job.updated"
  | "batch_job.scheduled"
  | "batch_job.started"
  | "batch_job.paused"
  | "batch_job.resumed"
  | "batch_job.cancelled"
  | "batch_job.deleted"
  | "api_key.created"
  | "api_key.revoked"
  | "suppressed_phones.added"
  | "suppressed_phones.removed"
  | "organization.created"
  | "organization.updated";

/** Who did it: a call with an API key, somebody at the command line, or a replica as its settings say. */
export type Actor = { readonly apiKeyId: string } | "command_line" | "service";

/** Who did it, and under which request id; empty if under none. */
export type By = { readonly actor: Actor; readonly requestId: string };

export type AuditEntry = By & {
  readonly type: AuditType;
  readonly batchJobId?: string;
  /** Of the job, after it. */
  readonly revision?: number;
  readonly data?: object;
};

export const apiKeyOf = (actor: Actor): string | null => (typeof actor === "string" ? null : actor.apiKeyId);

/** Writes entries of an organization. */
export async function record(
  trx: Trx,
  organizationId: number,
  entries: readonly AuditEntry[],
): Promise<void> {
  if (entries.length === 0) return;
  await trx
    .insertInto("audit")
    .values(
      entries.map(({ type, actor, requestId, batchJobId = null, revision = null, data }) => ({
        organization_id: organizationId,
        occurred_at: sql<Date>`date_trunc('milliseconds', clock_timestamp())`,
        type,
        actor: typeof actor === "string" ? actor : "api_key",
        api_key_id: apiKeyOf(actor),
        request_id: requestId,
        batch_job_id: batchJobId,
        revision,
        data: data === undefined ? null : JSON.stringify(data),
      })),
    )
    .execute();
}

const isOld = (days: number) =>
  sql`occurred_at < (select clock_timestamp() - make_interval(days => ${days}::int))`;

/** The oldest entry of an organization comes first in the key, but for those that were written at once. */
const oldest = (organizationId: unknown, size: number) => sql`
  select sequence, occurred_at from audit where organization_id = ${organizationId} order by sequence limit ${size}`;

/** Up to `limit` organizations whose oldest entry is older than so many days. */
export async function organizationsWithOldEntries(
  db: Database,
  days: number,
  limit: number,
): Promise<number[]> {
  const { rows } = await sql<{ id: number }>`
    select o.id from organizations o
    cross join lateral (${oldest(sql.ref("o.id"), 1)}) as a
    where ${isOld(days)}
    limit ${limit}
  `.execute(db);
  return rows.map(({ id }) => id);
}

/** Removes those of an organization's `size` oldest entries that are older than so many days; answers how many. */
export async function purgeEntries(
  db: Database,
  organizationId: number,
  days: number,
  size: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from audit where organization_id = ${organizationId} and sequence = any (array(
      select sequence from (${oldest(organizationId, size)}) as a where ${isOld(days)}))
  `.execute(db);
  return Number(numAffectedRows ?? 0);
}
