import { type SqlBool, sql } from "kysely";
import type { RetryRules } from "../domain/attempt.ts";
import type { Database } from "./database.ts";

/** What of a job never changes and its leases need. */
export type JobSettings = RetryRules & { readonly fromPhoneNumberId: string };

/** The settings of those of the jobs that are the organization's, by id. */
export async function readJobSettings(
  db: Database,
  organizationId: number,
  jobIds: readonly string[],
): Promise<Map<string, JobSettings>> {
  const rows = await db
    .selectFrom("batch_jobs")
    .select([
      "id",
      "max_attempts as maxAttempts",
      "retry_on as retryOn",
      "retry_delays_ms as retryDelaysMs",
      "from_phone_number_id as fromPhoneNumberId",
    ])
    .where("organization_id", "=", organizationId)
    .where(sql<SqlBool>`id = any(${jobIds}::uuid[])`)
    .execute();
  return new Map(rows.map(({ id, ...settings }) => [id, settings]));
}
