import { writeJobKey } from "../domain/job-id.ts";
import type { Database } from "../postgres/database.ts";
import { type JobSettings, readJobSettings } from "../postgres/job-settings.ts";
import { createRecent } from "../timing/recent.ts";

export type { JobSettings };

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
    for (const [id, settings] of await readJobSettings(db, organizationId, unknown)) {
      found.set(id, settings);
      kept.set(nameOf(id), settings);
    }
    return found;
  };
}
