import { isDeepStrictEqual } from "node:util";
import type { JobStatus } from "../../src/domain/jobs/batch-job.ts";
import { type StoredContactStatus, storedContactStatuses } from "../../src/domain/contacts/contact.ts";
import type { AttemptEnded, LoggedEvent } from "../../src/domain/event.ts";
import type { Database } from "../../src/postgres/connections/database.ts";
import { readEvents } from "../../src/postgres/events/events.ts";

/** A job as the log alone tells it. A contact that is dialing is what it was before. */
type Told = {
  status: JobStatus;
  failureReason: string | null;
  revision: number;
  total: number;
  /** Those that are not pending. */
  contacts: Map<number, StoredContactStatus>;
};

const statusAfter: Partial<Record<LoggedEvent["type"], JobStatus>> = {
  "batch_job.scheduled": "scheduled",
  "batch_job.started": "running",
  "batch_job.paused": "paused",
  "batch_job.resumed": "running",
  "batch_job.completed": "completed",
  "batch_job.failed": "failed",
  "batch_job.cancelled": "cancelled",
};

/** What has become of each job that is there, by the log alone. */
export function fold(events: readonly LoggedEvent[], jobs = new Map<string, Told>()): Map<string, Told> {
  for (const { type, batchJobId, revision, number, data } of events) {
    if (batchJobId === null) continue;
    if (type === "batch_job.created") {
      const { totalContacts } = data as { totalContacts: number };
      const made = { status: "pending" as const, failureReason: null, revision: 1, total: totalContacts };
      jobs.set(batchJobId, { ...made, contacts: new Map() });
    }
    if (type === "batch_job.deleted") jobs.delete(batchJobId);
    const job = jobs.get(batchJobId);
    if (job === undefined) continue;
    if (revision !== null) job.revision = revision;
    job.status = statusAfter[type] ?? job.status;
    if (type === "batch_job.completed" || type === "batch_job.failed") {
      job.failureReason = (data as { failureReason?: string }).failureReason ?? null;
    }
    if (type === "batch_job.contacts_added") job.total = (data as { totalContacts: number }).totalContacts;
    if (number === null || type === "contact.erased") continue;
    const status = type === "contact.suppressed" ? "suppressed" : (data as AttemptEnded).status;
    job.contacts.set(number, status);
  }
  return jobs;
}

const pageSize = 1_000;

/** The whole log of an organization. How large its events are is left out. */
export async function readLog(db: Database, organizationId: number): Promise<LoggedEvent[]> {
  const all: LoggedEvent[] = [];
  for (let after = 0; ;) {
    const page = await readEvents(
      db,
      organizationId,
      after,
      { types: [], batchJobIds: [] },
      { size: pageSize, mostLookedAt: pageSize },
    );
    all.push(...page.events.map((event) => ({ ...event, bytes: 0 })));
    after = page.lastSequence;
    if (after === page.head.sequence) return all;
  }
}

/**
 * Where the log of an organization, by itself, tells anything else of its jobs than what Postgres has of them: status,
 * reason, revision and counts. What is dialing is still in the log what it was before.
 */
export async function differencesFromLog(db: Database, organizationId: number): Promise<string[]> {
  const { rows, events, dialing } = await db
    .transaction()
    .setIsolationLevel("repeatable read")
    .execute(async (trx) => ({
      rows: await trx
        .selectFrom("batch_jobs")
        .selectAll()
        .where("organization_id", "=", organizationId)
        .execute(),
      events: await readLog(trx, organizationId),
      dialing: await trx
        .selectFrom("leases")
        .select(["job_id as jobId", "number", "attempt"])
        .where("organization_id", "=", organizationId)
        .execute(),
    }));
  const told = fold(events);
  const asTold = [...told].map(([id, { contacts, total, ...job }]) => {
    const count = (status: StoredContactStatus) =>
      [...contacts.values()].filter((one) => one === status).length;
    const counts = Object.fromEntries(storedContactStatuses.map((status) => [status, count(status)]));
    return [id, { ...job, total, counts: { ...counts, pending: total - contacts.size } }] as const;
  });
  const stored = rows.map((row) => {
    const live = dialing.filter(({ jobId }) => jobId === row.id);
    const first = live.filter(({ attempt }) => attempt === 1).length;
    const counts = Object.fromEntries(
      storedContactStatuses.map((status) => [status, row[`${status}_contacts`]]),
    );
    return [
      row.id,
      {
        status: row.status,
        failureReason: row.failure_reason,
        revision: row.revision,
        total: row.total_contacts,
        counts: {
          ...counts,
          dialing: 0,
          pending: row.pending_contacts + first,
          waiting_retry: row.waiting_retry_contacts + live.length - first,
        },
      },
    ] as const;
  });
  const [tells, has] = [new Map<string, unknown>(asTold), new Map<string, unknown>(stored)];
  const wrong = [...new Set([...tells.keys(), ...has.keys()])].filter(
    (id) => !isDeepStrictEqual(tells.get(id), has.get(id)),
  );
  const sequences = events.map(({ sequence }) => sequence);
  const inOrder = [...new Set(sequences)].toSorted((a, b) => a - b);
  return [
    ...wrong.map(
      (id) => `${id}: ${JSON.stringify(tells.get(id))} in the log, ${JSON.stringify(has.get(id))}`,
    ),
    ...(isDeepStrictEqual(sequences, inOrder) ? [] : ["its numbers are not in order"]),
  ];
}
