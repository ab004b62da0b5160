import type { JobKey } from "../domain/jobs/job-id.ts";
import type { RateClass } from "../domain/rates.ts";

export { type JobKey, readJobKey, writeJobKey } from "../domain/jobs/job-id.ts";

/** A job, and how many sets of time zones its contacts are in; with none, or one, all are in set 0. */
export type JobInSets = JobKey & { readonly zoneSets?: number | undefined };

export type Keys = ReturnType<typeof createKeys>;

/**
 * Every key name. Keys that one script touches share a hash tag, and so a slot. Replicas of two versions use them
 * side by side: what gets another type, or another form of text, gets another name.
 */
export const createKeys = (prefix: string) => ({
  prefix,
  /** Sorted set: scheduled_job_id → due time in unix ms. */
  due: `${prefix}:{schedule}:due`,
  /** String: there since the sorted set was last filled from Postgres; gone when Redis lost its data. */
  sentinel: `${prefix}:{schedule}:sentinel`,
  /** String: the id of the installation whose keys these are. */
  installation: `${prefix}:{schedule}:installation`,
  /** Keys of one slot, chosen by the tag, that are there only to be tried out. */
  probe: (tag: string) => ["string", "list", "sorted-set"].map((type) => `${prefix}:{${tag}}:probe:${type}`),
  /** Channel: nobody listens. */
  nobody: `${prefix}:{schedule}:probe`,
  /** Channel: an entry came to stand before all others. */
  wake: `${prefix}:{schedule}:wake`,
  /** Channel: an organization, named in the message, may have contacts to give. */
  work: `${prefix}:{schedule}:work`,
  /** Channel: a replica that stops leaves the fan-out of the job that the message names. */
  leftFanOut: `${prefix}:{schedule}:left-fan-out`,
  /** Sorted set: numbers taken off the list of a set and not yet settled → deadline, unix ms. */
  reserved: (job: JobKey, zoneSet = 0) =>
    `${prefix}:{${job.organizationId}}:${job.id}:reserved${suffixOf(zoneSet)}`,
  /** String: epoch and last number put on the list. */
  position: (job: JobKey) => `${prefix}:{${job.organizationId}}:${job.id}:position`,
  /** List: numbers of the contacts in a set of time zones, in order. */
  contacts: (job: JobKey, zoneSet = 0) =>
    `${prefix}:{${job.organizationId}}:${job.id}:contacts${suffixOf(zoneSet)}`,
  /** Sorted set: ids of jobs, or `all`, that workers of the organization ask for contacts of → until when, unix ms. */
  asked: (organizationId: number) => `${prefix}:{asked-${organizationId}}`,
  /** String: lives until the organization may make a second's worth of calls of the class at once. */
  bucket: (organizationId: number, rateClass: RateClass) =>
    `${prefix}:{rates-${organizationId}}:${rateClass}`,
  /** A pattern of the keys of all jobs. */
  ofJobs: `${prefix}:{[0-9]*}:*`,
  /** The job that a key is of, if it is of one, and how many sets it has at least if it has this. */
  readJob(name: string): (JobKey & { readonly zoneSets: number }) | undefined {
    const [, organizationId, id, zoneSet = 0] =
      /^:\{(\d{1,10})\}:([\da-f-]{36}):(?:position|(?:contacts|reserved)(?::(\d{1,5}))?)$/.exec(
        name.slice(prefix.length),
      ) ?? [];
    return organizationId === undefined || id === undefined
      ? undefined
      : { id, organizationId: Number(organizationId), zoneSets: Number(zoneSet) + 1 };
  },
});

/** The numbers of the sets that a job has lists for. */
export const setsOf = ({ zoneSets = 1 }: JobInSets): number[] =>
  Array.from({ length: Math.max(1, zoneSets) }, (_, zoneSet) => zoneSet);

/** Set 0 has the keys that a job without sets has. */
const suffixOf = (zoneSet: number): string => (zoneSet === 0 ? "" : `:${zoneSet}`);
