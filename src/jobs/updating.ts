import type { JobSettings } from "../domain/batch-job.ts";
import { record } from "../postgres/audit.ts";
import type { Trx } from "../postgres/batch-jobs.ts";
import { changeSettings, settingNames } from "../postgres/job-settings.ts";
import { judgeRetries } from "../postgres/retries.ts";
import { type JobCommandRequest, check, lockForCommand } from "./checks.ts";
import { byOf } from "./command.ts";
import type { RedisHalf } from "./redis-halves.ts";

/** What a change of settings is kept as: the job is read again for every answer. */
type Updated = {
  readonly batchJobId: string;
  /** Has ended by it, at this revision. */
  readonly endedAt: number | null;
};

/** What people have written, which may be about those who are called. */
const unrecorded: ReadonlySet<string> = new Set(["name", "description"] satisfies (keyof JobSettings)[]);

const recordable = (names: readonly (keyof JobSettings)[], job: JobSettings) =>
  Object.fromEntries(names.filter((name) => !unrecorded.has(name)).map((name) => [name, job[name]]));

/** Changes settings of a job that is not final. */
export async function updateJob(
  trx: Trx,
  request: JobCommandRequest,
  changes: Partial<JobSettings>,
): Promise<Updated> {
  const names = settingNames.filter((name) => changes[name] !== undefined);
  const before = await lockForCommand(trx, request);
  check("update", before);
  const { job: changed, forbidsRetries } = await changeSettings(trx, before, changes);
  const { job } = forbidsRetries ? await judgeRetries(trx, changed) : { job: changed };
  await record(trx, job.organizationId, [
    {
      type: "batch_job.updated",
      ...byOf(request),
      batchJobId: job.id,
      revision: changed.revision,
      data: { changed: names, before: recordable(names, before), after: recordable(names, changed) },
    },
  ]);
  return { batchJobId: job.id, endedAt: job.finishedAt === null ? null : job.revision };
}

/** A job that has ended leaves nothing behind. */
export const halfOfUpdate = ({ batchJobId: id, endedAt }: Updated, organizationId: number): RedisHalf =>
  endedAt === null ? {} : { list: { change: "unlink", key: { id, organizationId }, revision: endedAt } };
