import type { Logger } from "pino";
import type { ContactStatus, Outcome, ReportedOutcome } from "../domain/contact.ts";
import { type LeaseKey, readLeaseId } from "../domain/lease-id.ts";
import type { Shares } from "../postgres/connections.ts";
import {
  type CallDetails,
  type Ended,
  type Ending,
  type Removed,
  endLeases,
  removeLeases,
} from "../postgres/lease-ends.ts";
import { nameOf } from "../postgres/lease-rows.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Reservations } from "../redis/reservations.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { type Finished, reportLate } from "./late-reports.ts";

/** How a call ended, as a worker tells it. */
export type Report = {
  readonly leaseId: string;
  readonly outcome: ReportedOutcome;
  readonly details: CallDetails;
};

/** What became of a report: `gone` if another attempt was opened, or the lease was released or never there. */
export type Reported =
  | {
      readonly kind: "recorded" | "already_recorded";
      readonly outcome: ReportedOutcome;
      readonly contactStatus: ContactStatus;
      readonly nextAttemptAt: Date | null;
    }
  | { readonly kind: "gone" };

/** A report whose lease can have been given. */
export type ReportOf = Omit<Report, "leaseId"> & { readonly key: LeaseKey };

/** A report that a call was placed, or may have been. */
export type CallReport = ReportOf & { readonly outcome: Outcome };

const isOfCall = (report: ReportOf): report is CallReport => report.outcome !== "not_dialed";

export type Recorder = AsyncDisposable & {
  /**
   * Records outcomes: leases under which nobody was called are taken back, `end` ends the others that are live, in a
   * transaction of its own, and then it is looked what the other reports still count for.
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
   * call. Whoever has taken them over meanwhile keeps them: they have other nonces then. What the call itself has taken
   * over is left to the call that it was taken from, whose caller may be there still.
   */
  takeBack(organizationId: number, leases: readonly LeaseKey[]): void;
  /** Releases leases that their caller has, and has no use for. Where that fails they are left to run out. */
  drop(organizationId: number, leases: readonly LeaseKey[]): void;
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

  /** Of jobs that run no more. */
  async function unlinkAll(
    organizationId: number,
    { finished, paused = [] }: { finished: readonly Finished[]; paused?: readonly Finished[] },
  ): Promise<void> {
    for (const { id } of finished) logger.info({ batchJobId: id }, "batch job ended");
    for (const { id } of paused) {
      logger.warn({ batchJobId: id }, "batch job paused itself: too many of its last attempts ended badly");
    }
    for (const { id, revision } of [...finished, ...paused]) {
      await contactList.unlink({ id, organizationId }, revision);
    }
  }

  /** Ends live leases; answers what each contact is now, undefined for a lease that was not live. */
  async function endAll(
    organizationId: number,
    endings: readonly (Omit<CallReport, "details"> & { details?: CallDetails })[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ) {
    const ended = await end(endings.map(({ key, outcome, details }) => ({ ...key, outcome, details })));
    for (const [i, { outcome }] of endings.entries()) {
      if (ended.contacts[i] !== undefined) metrics.outcomes.inc({ outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, ended));
    return ended.contacts;
  }

  async function record(
    organizationId: number,
    reports: readonly ReportOf[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ): Promise<Reported[]> {
    const seen = new Set<string>();
    const isRepeated = reports.map(({ key }) => seen.size === seen.add(nameOf(key)).size);
    const first = reports.filter((_, i) => !isRepeated[i]);
    const notDialed = first.filter((report) => !isOfCall(report)).map(({ key }) => key);
    const putBack = notDialed.length === 0 ? [] : await takeAway(organizationId, notDialed, { by: "worker" });
    const contacts = await endAll(organizationId, first.filter(isOfCall), end);
    let next = 0;
    let nextBack = 0;
    const results = reports.map((report, i): Reported | undefined => {
      const isCall = isOfCall(report);
      if (isRepeated[i]) return isCall ? undefined : { kind: "gone" };
      const contact = isCall ? contacts[next++] : putBack[nextBack++];
      if (contact === undefined) return isCall ? undefined : { kind: "gone" };
      return {
        kind: "recorded",
        outcome: report.outcome,
        contactStatus: contact.status,
        nextAttemptAt: contact.nextAttemptAt,
      };
    });
    const rest = reports.filter((_, i) => results[i] === undefined).filter(isOfCall);
    if (rest.length === 0) return results.filter((result) => result !== undefined);
    const late = await reportLate(shares.of(organizationId), organizationId, rest);
    for (const result of late.results) {
      if (result.kind === "recorded") metrics.outcomes.inc({ outcome: result.outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, late));
    let nextLate = 0;
    return results.map((result) => result ?? late.results[nextLate++] ?? { kind: "gone" });
  }

  /** Takes leases back as if they had not been given; answers what each contact is then, if its lease was live. */
  async function takeAway(
    organizationId: number,
    keys: readonly LeaseKey[],
    options: { by: "worker" | "call" },
  ): Promise<(Removed | undefined)[]> {
    const db = shares.of(organizationId);
    const removed = await db.transaction().execute((trx) => removeLeases(trx, organizationId, keys, options));
    const listed = keys.filter((key, i) => removed[i] !== undefined && key.attempt === 1);
    follow(organizationId, async () => {
      for (const [id, own] of Map.groupBy(listed, ({ jobId }) => jobId))
        await reservations.giveBack(
          { id, organizationId },
          own.map(({ number }) => number),
        );
    });
    return removed;
  }

  /** Releases leases that no worker has; nobody waits for it. */
  function releaseBeside(
    organizationId: number,
    leases: readonly LeaseKey[],
    options: { by: "worker" | "call" },
  ): void {
    if (leases.length === 0) return;
    const released = takeAway(organizationId, leases, options)
      .catch((error: unknown) => logger.warn({ err: error }, "leases that no worker has are left to run out"))
      .finally(() => following.delete(released));
    following.add(released);
  }

  return {
    record,

    async release(organizationId, leaseIds) {
      const removed = await takeAway(organizationId, leaseIds.map(readLeaseId), { by: "worker" });
      return removed.map((contact) => contact !== undefined);
    },

    takeBack: (organizationId, leases) => releaseBeside(organizationId, leases, { by: "call" }),

    drop: (organizationId, leases) => releaseBeside(organizationId, leases, { by: "worker" }),

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
