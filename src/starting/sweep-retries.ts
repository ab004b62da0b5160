import { lockJob } from "../postgres/batch-jobs.ts";
import type { Database } from "../postgres/database.ts";
import { jobsWithRetriesToJudge, judgeRetries } from "../postgres/retries.ts";
import type { ContactList } from "../redis/contact-list.ts";

const mostJobs = 100;

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
            .execute(async (trx) => await judgeRetries(trx, await lockJob(trx, key.organizationId, key.id)));
          ({ isMore } = judged);
          const { job } = judged;
          if (job.finishedAt !== null) await contactList.unlink(key, job.revision);
        }
      }
    },
  };
}
