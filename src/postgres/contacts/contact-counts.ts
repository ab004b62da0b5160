import { sql } from "kysely";
import { type StoredContactStatus, storedContactStatuses } from "../../domain/contacts/contact.ts";
import type { Trx } from "../jobs/batch-jobs.ts";
import { isOwnedAs } from "../owned.ts";

/** By how much the number of a job's contacts in each status changes. */
export type CountChanges = Map<string, Partial<Record<StoredContactStatus, number>>>;

/** Notes that one contact of the job goes from one status to another. */
export function noteMove(
  changes: CountChanges,
  jobId: string,
  from: StoredContactStatus,
  to: StoredContactStatus,
): void {
  const change = changes.get(jobId) ?? {};
  changes.set(jobId, change);
  change[from] = (change[from] ?? 0) - 1;
  change[to] = (change[to] ?? 0) + 1;
}

/** Writes the changes to the jobs, and to their organization, which this transaction has locked. */
export async function moveCounts(trx: Trx, organizationId: number, changes: CountChanges): Promise<void> {
  if (changes.size === 0) return;
  const rows = [...changes].map(([id, change]) => ({ organization_id: organizationId, id, ...change }));
  const columns = storedContactStatuses.map(
    (status) =>
      sql`${sql.ref(`${status}_contacts`)} = ${sql.ref(`j.${status}_contacts`)} + coalesce(${sql.ref(`d.${status}`)}, 0)`,
  );
  const types = storedContactStatuses.map((status) => sql`${sql.ref(status)} int`);
  await sql`
    update batch_jobs j set ${sql.join(columns)}
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as d (organization_id int, id uuid, ${sql.join(types)})
    where ${isOwnedAs("j", "d")} and j.id = d.id
  `.execute(trx);
  const dialing = [...changes.values()].reduce((sum, change) => sum + (change.dialing ?? 0), 0);
  if (dialing === 0) return;
  await trx
    .updateTable("organizations")
    .set({ dialing: sql<number>`dialing + ${dialing}::int` })
    .where("id", "=", organizationId)
    .execute();
}
