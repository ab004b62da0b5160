import type { Logger } from "pino";
import { coalesce } from "../coalesce.ts";
import { afterOutcome, judgeReport } from "../domain/attempt.ts";
import type { Outcome, StoredContactStatus } from "../domain/contact.ts";
import { isUuid } from "../postgres/batch-jobs.ts";
import { type CountChanges, moveCounts, noteMove } from "../postgres/contact-counts.ts";
import type { Database } from "../postgres/database.ts";
import { lockJobs, lockOrganization } from "../postgres/leases.ts";
import {
  type AttemptInHand,
  type CallDetails,
  type Ending,
  endAttempts,
  finishJob,
  readAttempts,
  removeAttempts,
} from "../postgres/outcomes.ts";
import type { BatchJobRow } from "../postgres/tables.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Reservations } from "../redis/reservations.ts";

/** What can be done with a lease. */
export type Operation =
  | {
      readonly kind: "report";
      readonly leaseId: string;
      readonly outcome: Outcome;
      readonly details: CallDetails;
    }
  /** Its time is over; does nothing if it is not. */
  | { readonly kind: "expire"; readonly leaseId: string }
  | { readonly kind: "release"; readonly leaseId: string };

/** What became of it: `gone` if the lease was ended, released or never there. */
export type Result =
  | {
      readonly kind: "recorded" | "already_recorded";
      readonly outcome: Outcome;
      readonly contactStatus: StoredContactStatus;
      readonly nextAttemptAt: Date | null;
    }
  | { readonly kind: "released" }
  | { readonly kind: "gone" };

export type Recorder = AsyncDisposable & {
  /** Does the operations in one transaction, with others of the organization that come at the same time. */
  record(organizationId: string, operations: readonly Operation[]): Promise<Result[]>;
};

type Batch = {
  results: Result[];
  finished: { job: BatchJobRow; revision: number }[];
  released: AttemptInHand[];
};

/** Bounds a transaction. */
const mostCalls = 100;

/** Ends attempts: by report, by the end of their time, or as if they had not been. Counts and jobs follow. */
export function createRecorder(deps: {
  db: Database;
  contactList: ContactList;
  reservations: Reservations;
  logger: Logger;
  /** Called when leases of an organization have ended. */
  onFreed: (organizationId: string) => void;
}): Recorder {
  const { db, contactList, reservations, logger, onFreed } = deps;
  const queues = new Map<string, (operations: readonly Operation[]) => Promise<Result[]>>();
  const following = new Set<Promise<void>>();

  async function inTransaction(organizationId: string, operations: readonly Operation[]): Promise<Batch> {
    return await db.transaction().execute(async (trx) => {
      const { now } = await lockOrganization(trx, organizationId);
      const hands = await readAttempts(trx, operations.map(({ leaseId }) => leaseId).filter(isUuid), {
        isExpiring: operations.some(({ kind }) => kind === "expire"),
      });
      const jobIds = new Set([...hands.values()].map(({ jobId }) => jobId));
      const jobs = await lockJobs(trx, organizationId, [...jobIds]);
      const changes: CountChanges = new Map();
      const endings = new Map<string, Ending>();
      const released: AttemptInHand[] = [];

      function end(hand: AttemptInHand, job: BatchJobRow, outcome: Outcome, details?: CallDetails): void {
        const rules = {
          status: job.status,
          maxAttempts: job.max_attempts,
          retryOn: job.retry_on,
          retryDelaysMs: job.retry_delays_ms,
        };
        const after = afterOutcome(outcome, hand.attempt, rules, now);
        noteMove(changes, hand.jobId, hand.contact.status, after.status);
        const { leaseId, jobId, number } = hand;
        endings.set(leaseId, { leaseId, jobId, number, outcome, ...after, details });
        Object.assign(hand.contact, after);
        Object.assign(hand, { outcome, endedAt: now, reportedAt: details === undefined ? null : now });
      }

      function release(hand: AttemptInHand): Result {
        const isFirst = hand.attempt === 1;
        const status = isFirst ? "pending" : "waiting_retry";
        noteMove(changes, hand.jobId, hand.contact.status, status);
        Object.assign(hand.contact, {
          status,
          attempts: hand.attempt - 1,
          nextAttemptAt: isFirst ? null : now,
        });
        released.push(hand);
        hands.delete(hand.leaseId);
        return { kind: "released" };
      }

      function apply(operation: Operation): Result {
        const hand = hands.get(operation.leaseId.toLowerCase());
        const job = hand && jobs.get(hand.jobId);
        if (hand === undefined || job === undefined) return { kind: "gone" };
        if (operation.kind === "report") {
          const isReported = hand.reportedAt !== null;
          const verdict = judgeReport({ attempt: hand.attempt, isReported }, hand.contact);
          if (verdict === "lease_expired") return { kind: "gone" };
          if (verdict === "record") end(hand, job, operation.outcome, operation.details);
          return {
            kind: verdict === "record" ? "recorded" : "already_recorded",
            outcome: hand.outcome ?? operation.outcome,
            contactStatus: hand.contact.status,
            nextAttemptAt: hand.contact.nextAttemptAt,
          };
        }
        if (hand.endedAt !== null) return { kind: "gone" };
        if (operation.kind === "release") return release(hand);
        if (hand.expiresAt <= now) end(hand, job, "unknown");
        return { kind: "gone" };
      }

      const results = operations.map(apply);
      // In this order: with an attempt released, a late report of the one before it counts again.
      await removeAttempts(trx, now, released);
      await endAttempts(trx, now, [...endings.values()]);
      await moveCounts(trx, organizationId, changes);

      const finished: Batch["finished"] = [];
      for (const [jobId, change] of changes) {
        const job = jobs.get(jobId);
        if (job?.status !== "running" || openAfter(job, change) > 0) continue;
        finished.push({ job, revision: (await finishJob(trx, jobId)).revision });
      }
      return { results, finished, released };
    });
  }

  async function followUp(organizationId: string, { finished, released }: Batch): Promise<void> {
    try {
      for (const { job, revision } of finished) {
        logger.info({ batchJobId: job.id }, "batch job ended");
        await contactList.unlink({ id: job.id, organizationId }, revision);
      }
      for (const [id, hands] of Map.groupBy(released, (hand) => hand.jobId)) {
        const first = hands.filter((hand) => hand.attempt === 1).map((hand) => hand.number);
        await reservations.giveBack({ id, organizationId }, first);
      }
    } catch (error) {
      logger.warn({ err: error }, "the Redis half of ended leases is left to the sweep");
    }
    onFreed(organizationId);
  }

  async function recordAll(
    organizationId: string,
    calls: readonly (readonly Operation[])[],
  ): Promise<Result[][]> {
    const batch = await inTransaction(organizationId, calls.flat());
    // The caller's answer does not wait for Redis.
    const followed = followUp(organizationId, batch).finally(() => following.delete(followed));
    following.add(followed);
    let done = 0;
    return calls.map((operations) => batch.results.slice(done, (done += operations.length)));
  }

  return {
    async record(organizationId, operations) {
      if (operations.length === 0) return [];
      let queue = queues.get(organizationId);
      if (queue === undefined) {
        queue = coalesce((calls) => recordAll(organizationId, calls), mostCalls);
        queues.set(organizationId, queue);
      }
      return await queue(operations);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(following);
    },
  };
}

/** How many contacts of the job are not final after these changes. */
function openAfter(job: BatchJobRow, change: Partial<Record<StoredContactStatus, number>>): number {
  return (
    job.pending_contacts +
    job.waiting_retry_contacts +
    job.dialing_contacts +
    (change.pending ?? 0) +
    (change.waiting_retry ?? 0) +
    (change.dialing ?? 0)
  );
}
