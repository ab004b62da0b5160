import { type SqlBool, sql } from "kysely";
import type { RetryRules } from "../domain/attempt.ts";
import { writeJobKey } from "../domain/job-id.ts";
import type { Database } from "../postgres/database.ts";
import { createRecent } from "../timing/recent.ts";

/** What of a job never changes and its leases need. */
export type JobSettings = RetryRules & { readonly fromPhoneNumberId: string };

/** The settings of an organization's jobs, by id. */
export type SettingsOf = (
  organizationId: number,
  jobIds: Iterable<string>,
) => Promise<ReadonlyMap<string, JobSettings>>;

/** About 3 MB. */
const mostKept = 10_000;

/** Remembers the settings of the jobs that were asked for last. A job that is not there is not in the answer. */
export function createJobSettings(db: Database): SettingsOf {
  const kept = createRecent<string, JobSettings>(mostKept);

  return async function settingsOf(organizationId, jobIds) {
    const nameOf = (id: string): string => writeJobKey({ organizationId, id });
    const asked = [...new Set(jobIds)];
    const found = new Map<string, JobSettings>();
    const unknown: string[] = [];
    for (const id of asked) {
      const settings = kept.get(nameOf(id));
      if (settings === undefined) unknown.push(id);
      else found.set(id, settings);
    }
    if (unknown.length === 0) return found;
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
      .where(sql<SqlBool>`id = any(${unknown}::uuid[])`)
      .execute();
    for (const { id, ...settings } of rows) {
      found.set(id, settings);
      kept.set(nameOf(id), settings);
    }
    return found;
  };
}
