import { fitting } from "../domain/answer-size.ts";
import { coalesce } from "../timing/coalesce.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { Attempt } from "../domain/contacts/attempt.ts";
import { type BatchJob, shownStatus } from "../domain/jobs/batch-job.ts";
import type { Caller } from "../domain/caller.ts";
import {
  type ContactStatus,
  type StoredContact,
  type StoredContactStatus,
  storedContactStatuses,
} from "../domain/contacts/contact.ts";
import type { CallingHours } from "../domain/time/hours.ts";
import { localTimeOf } from "../domain/time/start-time.ts";
import { createLongPages } from "./long-pages.ts";
import { readStartTime } from "./commands/new-job.ts";
import { isTimeMs, readPageToken, writePageToken } from "../domain/page-token.ts";
import { type JobKey, isUuid, writeJobKey } from "../domain/jobs/job-id.ts";
import { pageSizeOf } from "../domain/page-size.ts";
import { type Trx, databaseNow, findJob, jobNotFound } from "../postgres/jobs/batch-jobs.ts";
import { findContact, listContacts } from "../postgres/contacts/contacts.ts";
import type { Connections } from "../postgres/connections/connections.ts";
import type { Database } from "../postgres/connections/database.ts";
import { type JobFilter, type TimeRange, everyJob, isOpen } from "../postgres/jobs/job-filter.ts";
import {
  type JobCursor,
  type StatusCount,
  countJobsByStatus,
  listJobs,
} from "../postgres/jobs/job-search.ts";
import { search } from "../postgres/connections/searches.ts";
import { readJobs } from "../postgres/jobs/watching.ts";
import { readCallingHours } from "../postgres/contacts/openings.ts";

export type { Attempt, BatchJob, JobFilter, TimeRange };

/** A contact with the status that its job gives it. */
export type Contact = Omit<StoredContact, "status"> & { readonly status: ContactStatus };

export const isJobCursor = (keys: readonly unknown[]): keys is [number, string] => {
  const [createdAtMs, id] = keys;
  return isTimeMs(createdAtMs) && createdAtMs >= 0 && isUuid(String(id));
};

const isContactCursor = (keys: readonly unknown[]): keys is [number] =>
  Number.isInteger(keys[0]) && Number(keys[0]) >= 0 && Number(keys[0]) < 2 ** 31;

/**
 * The statuses to look for in rows so that these come out; a job that has ended shows its open contacts as cancelled or
 * expired. For a status that no contact has nothing needs to be looked at.
 */
export function storedStatuses(
  asked: readonly ContactStatus[],
  job: BatchJob,
): readonly StoredContactStatus[] | undefined {
  if (asked.length === 0) return undefined;
  return storedContactStatuses.filter(
    (stored) => job.counts[stored] > 0 && asked.includes(shownStatus(stored, job.status)),
  );
}

export const shown = <C extends StoredContact>(
  contact: C,
  job: BatchJob,
): Omit<C, "status"> & { readonly status: ContactStatus } => ({
  ...contact,
  status: shownStatus(contact.status, job.status),
});

/** More than a job takes in an answer beside its texts. */
const aroundTexts = 700;

const bytesOf = (job: BatchJob): number =>
  [
    job.name,
    job.description,
    job.fromPhoneNumberId,
    job.requestedStartTime ?? "",
    ...Object.entries(job.labels).flat(),
  ].reduce(
    (sum, text) => sum + Buffer.byteLength(text),
    // A label takes less than ten bytes around its texts.
    aroundTexts + 10 * Object.keys(job.labels).length,
  );

const cursorOf = (job: BatchJob | undefined): JobCursor | undefined =>
  job && { createdAt: job.createdAt, id: job.id };

/** Whether jobs have to be looked for; by the time of their creation alone they are next to each other. */
const isSearch = ({ statuses, nameContains, labels, scheduledStartTime, finishedAt }: JobFilter): boolean =>
  statuses.length > 0 ||
  nameContains !== "" ||
  Object.keys(labels).length > 0 ||
  !isOpen(scheduledStartTime) ||
  !isOpen(finishedAt);

/** What a filter says, in the same words however it was said. Filters that older versions know keep theirs. */
function wordsOf(filter: JobFilter): unknown[] {
  const labels = Object.entries(filter.labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const ranges = [filter.created, filter.scheduledStartTime, filter.finishedAt];
  const times = ranges.map(({ from, to }) => [from?.getTime() ?? null, to?.getTime() ?? null]);
  const isNew = labels.length > 0 || !ranges.every(isOpen);
  return [filter.statuses.toSorted(), filter.nameContains, ...(isNew ? [labels, times] : [])];
}

/** The connections that reads have. */
export type Reads = Pick<Connections, "reads" | "searches" | "lookUps">;

/** What can be asked about batch jobs. Every answer is about the caller's organization only. */
export function createQueries(connections: Reads) {
  const { reads, lookUps } = connections;
  /** Under load one query answers all who ask while others run; one that hangs leaves the rest of them their way. */
  const readJob = coalesce<JobKey, { job: BatchJob | undefined }>(
    async (asked) => {
      const jobs = new Map(asked.map((job) => [writeJobKey(job), job]));
      const versions = await readJobs(lookUps, [...jobs.values()]);
      return asked.map((job) => ({ job: versions.get(writeJobKey(job))?.job }));
    },
    100,
    { atOnce: 4 },
  );

  const readPage = createLongPages();

  return {
    /** The job, or job_not_found. */
    async get(caller: Caller, batchJobId: string): Promise<BatchJob> {
      if (!isUuid(batchJobId)) throw jobNotFound(batchJobId);
      const { organizationId } = caller;
      const { job } = await readJob({ organizationId, id: batchJobId.toLowerCase() });
      if (job === undefined) throw jobNotFound(batchJobId);
      return job;
    },

    /** What a start time would mean that was given now; refused as the commands refuse it. */
    async startTime(caller: Caller, requestedStartTime: string, zone: string) {
      const now = await databaseNow(reads.of(caller.organizationId));
      const start = readStartTime(requestedStartTime, zone, now);
      return { ...start, ...localTimeOf(start.scheduledStartTime, start.timeZone) };
    },

    /** The hours of a job; undefined if its contacts may be called at any time. */
    callingHours: async (job: BatchJob): Promise<CallingHours | undefined> =>
      job.zoneSets === 0 ? undefined : await readCallingHours(reads.of(job.organizationId), job),

    /**
     * One page of jobs, newest first; a short one where more would not fit, where a search has taken enough, or where
     * many long ones are asked for.
     */
    async list(
      caller: Caller,
      asked: Partial<JobFilter>,
      page: { size: number; token: string },
      signal?: AbortSignal,
    ): Promise<{ jobs: BatchJob[]; nextPageToken: string }> {
      const { organizationId } = caller;
      const filter = { ...everyJob, ...asked };
      const scope = ["jobs", organizationId, ...wordsOf(filter)];
      const cursor = readPageToken(page.token, scope, isJobCursor);
      const after = cursor && { createdAt: new Date(cursor[0]), id: cursor[1] };
      const wanted = { organizationId, size: pageSizeOf(page.size) };
      const { jobs, last } = await readPage(wanted, async (size) => {
        const list = (db: Database | Trx) => listJobs(db, organizationId, filter, { after, size: size + 1 });
        const found = isSearch(filter)
          ? await search(connections, { organizationId, signal }, list)
          : await list(reads.of(organizationId));
        const fit = fitting(found.jobs.slice(0, size), bytesOf);
        return { jobs: fit, last: fit.length < found.jobs.length ? cursorOf(fit.at(-1)) : found.stoppedAt };
      });
      return {
        jobs,
        nextPageToken: last ? writePageToken(scope, [last.createdAt.getTime(), last.id]) : "",
      };
    },

    /** How many jobs are in each status that the filter allows. */
    async countByStatus(
      { organizationId }: Caller,
      asked: Partial<JobFilter>,
      signal?: AbortSignal,
    ): Promise<StatusCount[]> {
      const filter = { ...everyJob, ...asked };
      return await search(connections, { organizationId, signal }, (db) =>
        countJobsByStatus(db, organizationId, filter),
      );
    },

    /** One contact of a job and the history of its attempts, or contact_not_found. */
    async getContact(
      caller: Caller,
      batchJobId: string,
      number: number,
    ): Promise<{ job: BatchJob; contact: Contact; attempts: Attempt[] }> {
      const db = reads.of(caller.organizationId);
      const job = await findJob(db, caller.organizationId, batchJobId);
      const found = await findContact(db, job.organizationId, job.id, number);
      if (found === undefined) {
        throw new BatchJobError(
          "contact_not_found",
          `The batch job has no contact ${number}; it has ${job.totalContacts}, numbered from 1.`,
          { batchJobId: job.id, number: String(number), totalContacts: String(job.totalContacts) },
        );
      }
      return { job, contact: shown(found.contact, job), attempts: found.attempts };
    },

    /** One page of a job's contacts, by number; a short one as that of jobs. */
    async listContacts(
      caller: Caller,
      batchJobId: string,
      statuses: readonly ContactStatus[],
      page: { size: number; token: string },
      signal?: AbortSignal,
    ): Promise<{ contacts: Contact[]; nextPageToken: string }> {
      const scope = ["contacts", batchJobId, statuses.toSorted()];
      const cursor = readPageToken(page.token, scope, isContactCursor);
      const { organizationId } = caller;
      const wanted = { organizationId, size: pageSizeOf(page.size) };
      const list = (size: number) => async (db: Database | Trx) => {
        const job = await findJob(db, organizationId, batchJobId);
        const found = await listContacts(db, job.organizationId, job.id, storedStatuses(statuses, job), {
          after: cursor?.[0] ?? 0,
          size,
        });
        return { job, found };
      };
      const { job, found } = await readPage(wanted, (size) =>
        statuses.length > 0
          ? search(connections, { organizationId, signal }, list(size))
          : list(size)(reads.of(organizationId)),
      );
      return {
        contacts: found.contacts.map((contact) => shown(contact, job)),
        nextPageToken: found.goesOnAfter === undefined ? "" : writePageToken(scope, [found.goesOnAfter]),
      };
    },
  };
}

export type Queries = ReturnType<typeof createQueries>;
