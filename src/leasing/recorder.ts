import type { Logger } from "pino";
import type { Outcome, StoredContactStatus } from "../domain/contact.ts";
import { type LeaseKey, readLeaseId } from "../domain/lease-id.ts";
import type { Shares } from "../postgres/connections.ts";
import {
  type CallDetails,
  type Ended,
  type Ending,
  endLeases,
  removeLeases,
} from "../postgres/lease-ends.ts";
import { nameOf } from "../postgres/lease-rows.ts";
import type { Suppressed } from "../postgres/leases.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Reservations } from "../redis/reservations.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { type Finished, reportLate } from "./late-reports.ts";

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
   * other reports still count for.
   */
  record(
    organizationId: number,
    reports: readonly ReportOf[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ): Promise<Reported[]>;
  /** Takes leases back as if they had not been given; false for one that is not live. */
  release(organizationId: number, leaseIds: readonly string[]): Promise<boolean[]>;
  /**
   * Releases leases that their caller was not given. Where that fails they are left to run out, or to a repeat of the
   * call. Whoever has taken them over meanwhile keeps them: they have other nonces then.
   */
  takeBack(organizationId: number, leases: readonly LeaseKey[]): void;
  /** Follows contacts that were to be leased, and have ended because their phone is suppressed. */
  noteSuppressed(organizationId: number, suppressed: readonly Suppressed[]): void;
  /** Ends those of the leases whose time is over. */
  expire(organizationId: number, keys: readonly LeaseKey[]): Promise<void>;
};

/** Ends attempts: by report, by the end of their time, or as if they had not been. Counts and jobs follow. */
export function createRecorder(deps: {
  shares: Shares;
  contactList: ContactList;
  reservations: Reservations;
  metrics: Metrics;
  logger: Logger;
  /** Called when leases of an organization have ended. */
  onFreed: (organizationId: number) => void;
}): Recorder {
  const { shares, contactList, reservations, metrics, logger, onFreed } = deps;
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
    const { contacts, finished } = await end(
      endings.map(({ key, outcome, details }) => ({ ...key, outcome, details })),
    );
    for (const [i, { outcome }] of endings.entries()) {
      if (contacts[i] !== undefined) metrics.outcomes.inc({ outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, finished));
    return contacts;
  }

  async function record(
    organizationId: number,
    reports: readonly ReportOf[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ): Promise<Reported[]> {
    const seen = new Set<string>();
    const isRepeated = reports.map(({ key }) => seen.size === seen.add(nameOf(key)).size);
    const first = reports.filter((_, i) => !isRepeated[i]);
    const contacts = await endAll(organizationId, first, end);
    let next = 0;
    const results = reports.map(({ outcome }, i): Reported | undefined => {
      const contact = isRepeated[i] ? undefined : contacts[next++];
      if (contact === undefined) return undefined;
      return {
        kind: "recorded",
        outcome,
        contactStatus: contact.status,
        nextAttemptAt: contact.nextAttemptAt,
      };
    });
    const rest = reports.filter((_, i) => results[i] === undefined);
    if (rest.length === 0) return results.filter((result) => result !== undefined);
    const late = await reportLate(shares.of(organizationId), organizationId, rest);
    for (const result of late.results) {
      if (result.kind === "recorded") metrics.outcomes.inc({ outcome: result.outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, late.finished));
    let nextLate = 0;
    return results.map((result) => result ?? late.results[nextLate++] ?? { kind: "gone" });
  }

  async function release(organizationId: number, keys: readonly LeaseKey[]): Promise<boolean[]> {
    const db = shares.of(organizationId);
    const removed = await db.transaction().execute((trx) => removeLeases(trx, organizationId, keys));
    const listed = keys.filter((key, i) => removed[i] && key.attempt === 1);
    follow(organizationId, async () => {
      for (const [id, own] of Map.groupBy(listed, ({ jobId }) => jobId))
        await reservations.giveBack(
          { id, organizationId },
          own.map(({ number }) => number),
        );
    });
    return removed;
  }

  return {
    record,

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

    noteSuppressed(organizationId, suppressed) {
      for (const { count } of suppressed) metrics.suppressedContacts.inc(count);
      const finished = suppressed.flatMap(({ jobId: id, finalRevision: revision }) =>
        revision === undefined ? [] : [{ id, revision }],
      );
      if (finished.length > 0) follow(organizationId, () => unlinkAll(organizationId, finished));
    },

    async expire(organizationId, keys) {
      const endings = keys.map((key) => ({ key, outcome: "unknown" as const }));
      await endAll(organizationId, endings, (all) =>
        endLeases(shares.of(organizationId), organizationId, all, { onlyExpired: true }),
      );
    },

    async [Symbol.asyncDispose]() {
      while (following.size > 0) await Promise.all(following);
    },
  };
}
