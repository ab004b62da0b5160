import { type BatchJob, statusOfLeft } from "../domain/jobs/batch-job.ts";
import { type Hold, type Surroundings, type SuppressedInSet, holdOf, holdsOf } from "../domain/jobs/holds.ts";
import type { Contact } from "./queries.ts";
import { type JobKey, writeJobKey } from "../domain/jobs/job-id.ts";
import type { Database } from "../postgres/connections/database.ts";
import { readNextAttempts } from "../postgres/contacts/next-attempts.ts";
import { countSuppressedAmong } from "../postgres/phones/suppressed-contacts.ts";
import { findSuppressed } from "../postgres/phones/suppressed-phones.ts";
import { type Stored, findZoneSet, readSurroundings } from "../postgres/jobs/surroundings.ts";
import type { Askers } from "../redis/askers.ts";
import { coalesce } from "../timing/coalesce.ts";
import { patiently } from "../timing/patience.ts";
import { createRecent } from "../timing/recent.ts";

export type { Hold };

/** A read waits no longer for Redis; who asks is then not known. */
const patienceMs = 100;

/** So many of a job's contacts, its last ones, are looked at to tell whether they are suppressed. */
const mostLookedAt = 20_000;
/** And that once in so long, however many ask. */
const keptMs = 5_000;
const mostKept = 1_000;

const hasOpen = ({ counts }: BatchJob): boolean => counts.pending + counts.waiting_retry > 0;

/** Tells why contacts are not being leased. */
export function createHolds({ lookUps, askers }: { lookUps: Database; askers: Askers }) {
  const readStored = coalesce<JobKey, { stored: Stored | undefined }>(
    async (asked) => {
      const jobs = new Map(asked.map((job) => [writeJobKey(job), job]));
      const stored = await readSurroundings(lookUps, [...jobs.values()]);
      return asked.map((job) => ({ stored: stored.get(writeJobKey(job)) }));
    },
    100,
    { atOnce: 4 },
  );

  async function hasWorker(job: BatchJob): Promise<boolean | undefined> {
    try {
      return await patiently(patienceMs, askers.has(job), () => new Error("Redis does not answer in time"));
    } catch {
      return undefined;
    }
  }

  /** The same; a retry that comes due when its hours are closed is made when they open. */
  async function withinHours(job: BatchJob, stored: Stored): Promise<Stored> {
    if (job.zoneSets === 0) return stored;
    const retries = (stored.sets ?? [{ ...stored, zoneSet: 0 }]).flatMap(({ zoneSet, nextRetryAt: at }) =>
      at === null ? [] : [{ jobId: job.id, zoneSet, at }],
    );
    const nextAttempt = await readNextAttempts(lookUps, job.organizationId, retries);
    const moved = (zoneSet: number, at: Date | null) => at && nextAttempt({ jobId: job.id, zoneSet, at });
    return {
      ...stored,
      nextRetryAt: moved(0, stored.nextRetryAt),
      sets: stored.sets?.map((set) => ({ ...set, nextRetryAt: moved(set.zoneSet, set.nextRetryAt) })),
    };
  }

  async function look(job: BatchJob): Promise<(Stored & Surroundings) | undefined> {
    if (job.status !== "running" || !hasOpen(job)) return undefined;
    const [{ stored }, asked] = await Promise.all([readStored(job), hasWorker(job)]);
    return stored && { ...(await withinHours(job, stored)), hasWorker: asked };
  }

  type Count = { readonly untilMs: number; readonly sets: Promise<readonly SuppressedInSet[]> };
  const counts = createRecent<string, Count>(mostKept);

  /** Those of the job's contacts whose phones are suppressed, as they were counted some seconds ago at most. */
  function suppressedOf(job: BatchJob): Promise<readonly SuppressedInSet[]> {
    if (!hasOpen(job) || statusOfLeft(job.status) !== undefined) return Promise.resolve([]);
    const name = writeJobKey(job);
    const known = counts.get(name);
    if (known !== undefined && known.untilMs > performance.now()) return known.sets;
    const { totalContacts: upTo } = job;
    const sets = countSuppressedAmong(lookUps, job, { after: Math.max(0, upTo - mostLookedAt), upTo });
    sets.catch(() => counts.delete(name));
    counts.set(name, { untilMs: performance.now() + keptMs, sets });
    return sets;
  }

  return {
    /** Why contacts of the job are not being leased now. */
    async ofJob(job: BatchJob): Promise<Hold[]> {
      const [around, suppressed] = await Promise.all([look(job), suppressedOf(job)]);
      return holdsOf(job, around, suppressed);
    },

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
