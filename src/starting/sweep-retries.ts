import type { Tell } from "../domain/event.ts";
import type { JobKey } from "../domain/jobs/job-id.ts";
import { type Trx, lockJob } from "../postgres/jobs/batch-jobs.ts";
import type { Database } from "../postgres/connections/database.ts";
import { telling } from "../postgres/events/events.ts";
import { jobsWithRetriesToJudge, judgeRetries } from "../postgres/leasing/retries.ts";
import type { ContactList } from "../redis/contact-list.ts";

const mostJobs = 100;
const by = { actor: "service", requestId: "" } as const;

const judgeNext = async (trx: Trx, { organizationId, id }: JobKey, tell: Tell) =>
  await judgeRetries(trx, await lockJob(trx, organizationId, id), by, tell);

/**
 * Ends the retries that jobs were told to do without: those that are more than a command ends itself. Nobody is called
 * meanwhile who is not to be.
 */
export function createRetrySweep({ db, contactList }: { db: Database; contactList: ContactList }) {
  return {
    async judgeAll(): Promise<void> {
      for (const key of await jobsWithRetriesToJudge(db, mostJobs)) {
        for (let isMore = true; isMore;) {
          const judged = await db
            .transaction()
            .execute((trx) => telling(trx, key.organizationId, (tell) => judgeNext(trx, key, tell)));
          ({ isMore } = judged);
          const { job } = judged;
          if (job.finishedAt !== null)
            await contactList.unlink({ ...key, zoneSets: job.zoneSets }, job.revision);
        }
      }
    },
  };
}
