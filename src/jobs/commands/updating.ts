import type { JobSettings } from "../../domain/jobs/batch-job.ts";
import type { Tell } from "../../domain/event.ts";
import type { Trx } from "../../postgres/jobs/batch-jobs.ts";
import { changeSettings, settingNames } from "../../postgres/jobs/job-settings.ts";
import { changeCallingHours, readCallingHours } from "../../postgres/contacts/openings.ts";
import { reckonAll } from "../../starting/openings.ts";
import { judgeRetries } from "../../postgres/leasing/retries.ts";
import { type JobCommandRequest, checkNow, lockForCommand } from "./checks.ts";
import { checkEnd } from "./new-job.ts";
import { byOf } from "./command.ts";
import type { RedisHalf } from "./redis-halves.ts";

/** What a change of settings is kept as: the job is read again for every answer. */
type Updated = {
  readonly batchJobId: string;
  /** Has ended by it, at this revision. */
  readonly endedAt: number | null;
  /** It has other hours now. */
  readonly hasOtherHours?: boolean;
  /** How many sets of time zones its contacts are in; an earlier version does not say it. */
  readonly zoneSets?: number;
};

/** What people have written, which may be about those who are called. */
const unrecorded: ReadonlySet<string> = new Set([
  "name",
  "description",
  "labels",
] satisfies (keyof JobSettings)[]);

const recordable = (names: readonly (keyof JobSettings)[], job: Partial<JobSettings>) =>
  Object.fromEntries(names.filter((name) => !unrecorded.has(name)).map((name) => [name, job[name]]));

/** Changes settings of a job that is not final. */
export async function updateJob(
  trx: Trx,
  request: JobCommandRequest,
  changes: Partial<JobSettings>,
  tell: Tell,
): Promise<Updated> {
  const names = settingNames.filter((name) => changes[name] !== undefined);
  const before = await lockForCommand(trx, request);
  const now = await checkNow(trx, "update", before);
  const { callingHours, endAt = null } = changes;
  checkEnd(endAt, now, before.status === "scheduled" ? before.scheduledStartTime : null);
  const hasOtherHours = callingHours !== undefined;
  const hoursBefore = hasOtherHours ? ((await readCallingHours(trx, before)) ?? null) : null;
  const { job: changed, forbidsRetries } = await changeSettings(trx, before, changes);
  if (hasOtherHours) await changeCallingHours(trx, before, callingHours);
  tell({
    type: "batch_job.updated",
    ...byOf(request),
    batchJobId: changed.id,
    revision: changed.revision,
    data: {
      changed: names,
      before: recordable(names, { ...before, callingHours: hoursBefore }),
      after: recordable(names, { ...changed, callingHours: callingHours ?? null }),
    },
  });
  const { job } = forbidsRetries ? await judgeRetries(trx, changed, byOf(request), tell) : { job: changed };
  // What narrows holds once this is committed.
  if (hasOtherHours) await reckonAll(trx, job.organizationId, [job.id]);
  const endedAt = job.finishedAt === null ? null : job.revision;
  return { batchJobId: job.id, endedAt, hasOtherHours, zoneSets: job.zoneSets };
}

/** A job that has ended leaves nothing behind; one that is open now says so to those who wait for contacts. */
export function halfOfUpdate(
  { batchJobId: id, endedAt, hasOtherHours, zoneSets }: Updated,
  organizationId: number,
): RedisHalf {
  const key = { id, organizationId };
  if (endedAt !== null) return { list: { change: "unlink", key, revision: endedAt, zoneSets } };
  return hasOtherHours === true ? { wake: { key, zoneSets: 1 } } : {};
}
