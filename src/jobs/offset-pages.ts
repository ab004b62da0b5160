import type { JobStatus } from "../domain/jobs/batch-job.ts";
import type { Caller } from "../domain/caller.ts";
import type { ContactStatus } from "../domain/contacts/contact.ts";
import { databaseNow, findJob } from "../postgres/jobs/batch-jobs.ts";
import {
  type CalledContact as StoredCalledContact,
  countJobs,
  pageOfContacts,
  pageOfJobs,
} from "../postgres/jobs/offset-pages.ts";
import { type BatchJob, type Reads, shown, storedStatuses } from "./queries.ts";

/** A page by its place, from 1. */
export type NumberedPage = { readonly page: number; readonly size: number };

/** A contact with the status that its job gives it, and the last of its attempts. */
export type CalledContact = Omit<StoredCalledContact, "status"> & { readonly status: ContactStatus };

export type JobDetail = {
  readonly job: BatchJob;
  /** Of a running job. */
  readonly now: Date | undefined;
  readonly contacts: readonly CalledContact[];
  /** How many contacts are in the statuses that were asked for. */
  readonly contactsTotal: number;
};

const offsetOf = ({ page, size }: NumberedPage) => ({ offset: (page - 1) * size, size });

/** What can be asked page by page, by the number of the page. Every answer is about the caller's organization only. */
export function createOffsetPages({ reads }: Pick<Reads, "reads">) {
  return {
    /** One page of jobs, newest first, and how many there are in all; of many those count that were created last. */
    async listPage(
      caller: Caller,
      statuses: readonly JobStatus[],
      page: NumberedPage,
    ): Promise<{ jobs: BatchJob[]; total: number }> {
      const { organizationId } = caller;
      const db = reads.of(organizationId);
      const total = await countJobs(db, organizationId, statuses);
      const offset = offsetOf(page);
      const jobs = offset.offset < total ? await pageOfJobs(db, organizationId, statuses, offset) : [];
      return { jobs, total };
    },

    /** The job with one page of its contacts, or job_not_found. */
    async detail(
      caller: Caller,
      batchJobId: string,
      statuses: readonly ContactStatus[],
      page: NumberedPage,
    ): Promise<JobDetail> {
      const db = reads.of(caller.organizationId);
      const job = await findJob(db, caller.organizationId, batchJobId);
      const stored = storedStatuses(statuses, job);
      const contactsTotal =
        stored === undefined
          ? job.totalContacts
          : stored.reduce((sum, status) => sum + job.counts[status], 0);
      const offset = offsetOf(page);
      const called = offset.offset < contactsTotal ? await pageOfContacts(db, job, stored, offset) : [];
      return {
        job,
        now: job.status === "running" ? await databaseNow(db) : undefined,
        contacts: called.map((contact) => shown(contact, job)),
        contactsTotal,
      };
    },
  };
}
