import { setTimeout as delay } from "node:timers/promises";
import { BatchJobError } from "../../domain/batch-job-error.ts";
import type { Tell } from "../../domain/event.ts";
import type { JobKey } from "../../domain/jobs/job-id.ts";
import { enterPhones } from "../../postgres/contacts/adding.ts";
import { type Trx, countAdded } from "../../postgres/jobs/batch-jobs.ts";
import type { Database } from "../../postgres/connections/database.ts";
import type { BatchJob } from "../../domain/jobs/batch-job.ts";
import type { CountedSet } from "../../domain/time/zone-sets.ts";
import { checkStoredContacts } from "../../postgres/contacts/stored-contacts.ts";
import { countInSets } from "../../postgres/contacts/zone-sets.ts";
import { type CommandRequest, byOf } from "../commands/command.ts";

/** Thrown by an addition that must not go on while a file is being added to the job. */
export const fileIsAdded = new BatchJobError(
  "unavailable",
  "A file is being added to the batch job; try again in a moment.",
);

/** Thrown by an addition that needs the phones of the job, which are not all entered. */
export class PhonesAreMissing extends Error {
  readonly job: JobKey;
  constructor(job: JobKey) {
    super(`the phones of ${job.id} are to be entered first`);
    this.job = job;
  }
}

/** For how long an addition waits for others. */
const patienceMs = 30_000;
const pauseMs = 50;

/** Repeats an addition that something keeps out; while it waits for others it holds no connection. */
export async function whenNothingKeepsOut<T>(db: Database, add: () => Promise<T>): Promise<T> {
  const patienceEnds = performance.now() + patienceMs;
  for (;;) {
    try {
      return await add();
    } catch (error) {
      const isMissing = error instanceof PhonesAreMissing;
      if (isMissing && (await enterPhones(db, error.job.organizationId, error.job.id))) continue;
      if (!isMissing && error !== fileIsAdded) throw error;
      if (performance.now() > patienceEnds) throw fileIsAdded;
      await delay(pauseMs * (1 + Math.random()));
    }
  }
}

/**
 * Counts contacts that were written into a job, which the transaction has locked, and in its sets of time zones, all of
 * which are given, and tells of that. Refused as limit_exceeded if the organization has more than it may have then. It
 * comes last: others who add contacts to jobs of the organization wait for the transaction from here on.
 */
export async function noteAdded(
  trx: Trx,
  request: Pick<CommandRequest, "caller" | "requestId">,
  job: BatchJob,
  added: { count: number; withPhones: boolean; zoneSets: readonly CountedSet[] },
  tell: Tell,
): Promise<BatchJob> {
  if (added.count === 0) return job;
  const { organizationId, id } = job;
  await countInSets(trx, job, added.zoneSets);
  const after = await countAdded(trx, organizationId, id, added);
  await checkStoredContacts(trx, organizationId, added.count);
  const data = { acceptedContacts: added.count, totalContacts: after.totalContacts };
  const { revision } = after;
  tell({ type: "batch_job.contacts_added", ...byOf(request), batchJobId: id, revision, data });
  return after;
}
