import type { BatchJob } from "../domain/jobs/batch-job.ts";
import { type Hold, type Surroundings, holdOf, holdsOf } from "../domain/jobs/holds.ts";
import type { Contact } from "./queries.ts";
import { type JobKey, writeJobKey } from "../domain/jobs/job-id.ts";
import type { Database } from "../postgres/connections/database.ts";
import { findSuppressed } from "../postgres/phones/suppressed-phones.ts";
import { type Stored, findZoneSet, readSurroundings } from "../postgres/jobs/surroundings.ts";
import type { Askers } from "../redis/askers.ts";
import { coalesce } from "../timing/coalesce.ts";
import { patiently } from "../timing/patience.ts";

export type { Hold };

/** A read waits no longer for Redis; who asks is then not known. */
const patienceMs = 100;

/** Tells why contacts are not being leased. */
export function createHolds({ lookUps, askers }: { lookUps: Database; askers: Askers }) {
  const readStored = coalesce<JobKey, { stored: Stored | undefined }>(
    async (asked) => {
      const jobs = new Map(asked.map((job) => [writeJobKey(job), job]));
      const stored = await readSurroundings(lookUps, [...jobs.values()]);
      return asked.map((job) => ({ stored: stored.get(writeJobKey(job)) }));
    },
    100,
    4,
  );

  async function hasWorker(job: BatchJob): Promise<boolean | undefined> {
    try {
      return await patiently(patienceMs, askers.has(job), () => new Error("Redis does not answer in time"));
    } catch {
      return undefined;
    }
  }

  async function look(job: BatchJob): Promise<(Stored & Surroundings) | undefined> {
    if (job.status !== "running" || job.counts.pending + job.counts.waiting_retry === 0) return undefined;
    const [{ stored }, asked] = await Promise.all([readStored(job), hasWorker(job)]);
    return stored && { ...stored, hasWorker: asked };
  }

  return {
    /** Why contacts of the job are not being leased now. */
    ofJob: async (job: BatchJob): Promise<Hold[]> => holdsOf(job, await look(job)),

    /** Why a contact of the job is not being leased now; undefined if nothing holds it. */
    async ofContact(job: BatchJob, contact: Contact): Promise<Hold | undefined> {
      if (contact.status !== "pending" && contact.status !== "waiting_retry") return undefined;
      const [suppressed] = await findSuppressed(lookUps, job.organizationId, [contact.phone]);
      if (suppressed !== undefined) return { reason: "suppressed", contacts: 1, until: suppressed.expiresAt };
      const around = await look(job);
      const zoneSet = around?.sets === undefined ? 0 : await findZoneSet(lookUps, job, contact.number);
      const own = around?.sets?.find((set) => set.zoneSet === zoneSet);
      return holdOf(contact, job, around && { ...around, ...own }, around?.now ?? new Date());
    },
  };
}

export type Holds = ReturnType<typeof createHolds>;
