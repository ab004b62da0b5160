import type { Logger } from "pino";
import { retryDelayMs } from "../domain/attempt.ts";
import type { Outcome, StoredContactStatus } from "../domain/contact.ts";
import { type LeaseKey, readLeaseId } from "../domain/lease-id.ts";
import type { Trx } from "../postgres/batch-jobs.ts";
import type { SharesToWaitIn } from "../postgres/connections.ts";
import {
  type CallDetails,
  type Ended,
  type Ending,
  endLeases,
  removeLeases,
} from "../postgres/lease-ends.ts";
import { nameOf } from "../postgres/lease-rows.ts";
import { type Held, afterJob } from "../postgres/locks.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Reservations } from "../redis/reservations.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { createHeldJobs } from "./held-jobs.ts";
import type { SettingsOf } from "./job-settings.ts";
import { type Finished, type RecordedLate, reportLate } from "./late-reports.ts";

/** How a call ended, as a worker tells it. */
export type Report = { readonly leaseId: string; readonly outcome: Outcome; readonly details: CallDetails };

/** What became of a report: `gone` if another attempt was opened, or the lease was released or never there. */
export type Reported =
  | {
      readonly kind: "recorded" | "already_recorded";
      readonly outcome: Outcome;
      readonly contactStatus: StoredContactStatus;
      readonly nextAttemptAt: Date | null;
    }
  | { readonly kind: "gone" };

/** A report whose lease can have been given. */
export type ReportOf = Omit<Report, "leaseId"> & { readonly key: LeaseKey };

export type Recorder = AsyncDisposable & {
  /**
   * Records outcomes: `end` ends the leases that are live, in a transaction of its own, and then it is looked what the
   * other reports still count for. Jobs that somebody else has locked are passed by.
   */
  record(
    organizationId: number,
    reports: readonly ReportOf[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ): Promise<(Reported | Held)[]>;
  /** Records those of the reports whose jobs were passed by, once these are free; answers what became of all. */
  recordHeld(
    organizationId: number,
    reports: readonly ReportOf[],
    results: readonly (Reported | Held)[],
  ): Promise<Reported[]>;
  /** Takes leases back as if they had not been given; false for one that is not live. */
  release(organizationId: number, leaseIds: readonly string[]): Promise<boolean[]>;
  /**
   * Releases leases that their caller was not given. Where that fails they are left to run out, or to a repeat of the
   * call. Whoever has taken them over meanwhile keeps them: they have other nonces then.
   */
  takeBack(organizationId: number, leases: readonly LeaseKey[]): void;
  /** Ends those of the leases whose time is over; answers the jobs that it passed by, since they were locked. */
  expire(organizationId: number, keys: readonly LeaseKey[]): Promise<string[]>;
};

/** Begins the transaction of late reports. */
type BeginLate = (work: (trx: Trx) => Promise<RecordedLate>) => Promise<RecordedLate>;

/** Ends attempts: by report, by the end of their time, or as if they had not been. Counts and jobs follow. */
export function createRecorder(deps: {
  shares: SharesToWaitIn;
  settingsOf: SettingsOf;
  contactList: ContactList;
  reservations: Reservations;
  metrics: Metrics;
  logger: Logger;
  /** Called when leases of an organization have ended. */
  onFreed: (organizationId: number) => void;
}): Recorder {
  const { shares, settingsOf, contactList, reservations, metrics, logger, onFreed } = deps;
  const following = new Set<Promise<unknown>>();

  /** Does the Redis half of ended leases, for which nobody's answer waits. */
  function follow(organizationId: number, redisHalf: () => Promise<unknown>): void {
    const followed = redisHalf()
      .catch((error: unknown) =>
        logger.warn({ err: error }, "the Redis half of ended leases is left to the sweep"),
      )
      .then(() => onFreed(organizationId))
      .finally(() => following.delete(followed));
    following.add(followed);
  }

  const unlinkAll = async (organizationId: number, finished: readonly Finished[]): Promise<void> => {
    for (const { id, revision } of finished) {
      logger.info({ batchJobId: id }, "batch job ended");
      await contactList.unlink({ id, organizationId }, revision);
    }
  };

  /** Ends live leases; answers what each contact is now, undefined for a lease that was not live. */
  async function endAll(
    organizationId: number,
    endings: readonly (Omit<ReportOf, "details"> & { details?: CallDetails })[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ) {
    const settings = await settingsOf(
      organizationId,
      endings.map(({ key }) => key.jobId),
    );
    const { contacts, finished } = await end(
      endings.map(({ key, outcome, details }) => {
        const rules = settings.get(key.jobId);
        const delayMs = rules === undefined ? null : retryDelayMs(outcome, key.attempt, rules);
        return { ...key, outcome, retryDelayMs: delayMs, details };
      }),
    );
    for (const [i, { outcome }] of endings.entries()) {
      if (contacts[i] !== undefined && contacts[i] !== "held") metrics.outcomes.inc({ outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, finished));
    return contacts;
  }

  async function record(
    organizationId: number,
    reports: readonly ReportOf[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
    beginLate: BeginLate,
  ): Promise<(Reported | Held)[]> {
    const seen = new Set<string>();
    const isRepeated = reports.map(({ key }) => seen.size === seen.add(nameOf(key)).size);
    const first = reports.filter((_, i) => !isRepeated[i]);
    const contacts = await endAll(organizationId, first, end);
    const held = new Set(first.flatMap(({ key }, i) => (contacts[i] === "held" ? key.jobId : [])));
    let next = 0;
    const results = reports.map(({ key, outcome }, i): Reported | Held | undefined => {
      const contact = isRepeated[i] ? undefined : contacts[next++];
      if (held.has(key.jobId)) return "held";
      if (contact === undefined || contact === "held") return undefined;
      return {
        kind: "recorded",
        outcome,
        contactStatus: contact.status,
        nextAttemptAt: contact.nextAttemptAt,
      };
    });
    const rest = reports.filter((_, i) => results[i] === undefined);
    if (rest.length === 0) return results.filter((result) => result !== undefined);
    const late = await beginLate((trx) => reportLate(trx, organizationId, rest));
    for (const result of late.results) {
      if (result !== "held" && result.kind === "recorded") metrics.outcomes.inc({ outcome: result.outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, late.finished));
    let nextLate = 0;
    return results.map((result) => result ?? late.results[nextLate++] ?? { kind: "gone" });
  }

  const recordWhenFree = createHeldJobs(shares, (organizationId, reports: readonly ReportOf[], jobId) => {
    const begin = <T>(work: (trx: Trx) => Promise<T>) =>
      afterJob(shares.of(organizationId), organizationId, jobId, work);
    const end = (endings: readonly Ending[]) =>
      begin((trx) => endLeases(trx, organizationId, endings, { onlyExpired: false }));
    return record(organizationId, reports, end, begin);
  });

  /** Does the Redis half of released leases. */
  function followRemoved(
    organizationId: number,
    keys: readonly LeaseKey[],
    removed: readonly (boolean | Held)[],
  ): void {
    const listed = keys.filter((key, i) => removed[i] === true && key.attempt === 1);
    follow(organizationId, async () => {
      for (const [id, own] of Map.groupBy(listed, ({ jobId }) => jobId))
        await reservations.giveBack(
          { id, organizationId },
          own.map(({ number }) => number),
        );
    });
  }

  const releaseWhenFree = createHeldJobs(
    shares,
    async (organizationId, items: readonly { key: LeaseKey }[], jobId) => {
      const keys = items.map(({ key }) => key);
      const removed = await afterJob(shares.of(organizationId), organizationId, jobId, (trx) =>
        removeLeases(trx, organizationId, keys),
      );
      followRemoved(organizationId, keys, removed);
      return removed;
    },
  );

  async function release(organizationId: number, keys: readonly LeaseKey[]): Promise<boolean[]> {
    const db = shares.of(organizationId);
    const removed = await db.transaction().execute((trx) => removeLeases(trx, organizationId, keys));
    followRemoved(organizationId, keys, removed);
    return await Promise.all(
      keys.map((key, i) => {
        const answer = removed[i] ?? false;
        return answer === "held" ? releaseWhenFree(organizationId, { key }) : answer;
      }),
    );
  }

  return {
    record: (organizationId, reports, end) =>
      record(organizationId, reports, end, (work) => shares.of(organizationId).transaction().execute(work)),

    recordHeld: (organizationId, reports, results) =>
      Promise.all(
        reports.map((report, i) => {
          const result = results[i] ?? "held";
          return result === "held" ? recordWhenFree(organizationId, report) : result;
        }),
      ),

    release: (organizationId, leaseIds) => release(organizationId, leaseIds.map(readLeaseId)),

    takeBack(organizationId, leases) {
      if (leases.length === 0) return;
      const taken = release(organizationId, leases)
        .catch((error: unknown) =>
          logger.warn({ err: error }, "leases that no worker has are left to run out"),
        )
        .finally(() => following.delete(taken));
      following.add(taken);
    },

    async expire(organizationId, keys) {
      const endings = keys.map((key) => ({ key, outcome: "unknown" as const }));
      const contacts = await endAll(organizationId, endings, (all) =>
        endLeases(shares.of(organizationId), organizationId, all, { onlyExpired: true }),
      );
      return [...new Set(keys.flatMap(({ jobId }, i) => (contacts[i] === "held" ? jobId : [])))];
    },

    async [Symbol.asyncDispose]() {
      while (following.size > 0) await Promise.all(following);
    },
  };
}
