import type { Logger } from "pino";
import type { ContactStatus, Outcome, ReportedOutcome } from "../domain/contacts/contact.ts";
import { type LeaseKey, readLeaseId } from "../domain/contacts/lease-id.ts";
import type { Trx } from "../postgres/jobs/batch-jobs.ts";
import type { SharesToWaitIn } from "../postgres/connections/connections.ts";
import {
  type CallDetails,
  type Ended,
  type Ending,
  type Removed,
  type Stopped,
  endLeases,
  removeLeases,
} from "../postgres/leasing/lease-ends.ts";
import { nameOf } from "../postgres/leasing/lease-rows.ts";
import type { Suppressed } from "../postgres/leasing/leases.ts";
import { type Held, afterJob } from "../postgres/jobs/locks.ts";
import type { ContactList } from "../redis/contact-list.ts";
import type { Reservations } from "../redis/reservations.ts";
import type { Metrics } from "../vitals/metrics.ts";
import { createHeldJobs, orHeld } from "./held-jobs.ts";
import { reportLate } from "./late-reports.ts";

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

/** The keys of those of the reports that were kept out. */
const keysOfHeld = (reports: readonly ReportOf[], outcomes: readonly unknown[]): LeaseKey[] =>
  reports.flatMap(({ key }, i) => (outcomes[i] === "held" ? key : []));

export type Recorder = AsyncDisposable & {
  /**
   * Records outcomes: leases under which nobody was called are taken back, `end` ends the others that are live, in a
   * transaction of its own, and then it is looked what the other reports still count for. Jobs that somebody else has
   * locked are passed by.
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
   * call. Whoever has taken them over meanwhile keeps them: they have other nonces then. What the call itself has taken
   * over is left to the call that it was taken from, whose caller may be there still.
   */
  takeBack(organizationId: number, leases: readonly LeaseKey[]): void;
  /** Releases leases that their caller has, and has no use for. Where that fails they are left to run out. */
  drop(organizationId: number, leases: readonly LeaseKey[]): void;
  /** Follows contacts that were to be leased, and have ended because their phone is suppressed. */
  noteSuppressed(organizationId: number, suppressed: readonly Suppressed[]): void;
  /** Ends those of the leases whose time is over; answers the jobs that it passed by, since they were locked. */
  expire(organizationId: number, keys: readonly LeaseKey[]): Promise<string[]>;
};

/** How leases are taken back: by the worker that has them, or by a call whose caller has gone. */
type By = Parameters<typeof removeLeases>[3];

/** How what is done with reports gets its transactions, and what becomes of that which has waited for too long. */
type Steps = {
  begin<T>(work: (trx: Trx) => Promise<T>): Promise<T>;
  orHeld: typeof orHeld;
};

/** Ends attempts: by report, by the end of their time, or as if they had not been. Counts and jobs follow. */
export function createRecorder(deps: {
  shares: SharesToWaitIn;
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
    { finished, paused = [] }: { finished: readonly Stopped[]; paused?: readonly Stopped[] },
  ): Promise<void> {
    for (const { id } of finished) logger.info({ batchJobId: id }, "batch job ended");
    for (const { id } of paused) {
      logger.warn({ batchJobId: id }, "batch job paused itself: too many of its last attempts ended badly");
    }
    await Promise.all(
      [...finished, ...paused].map(({ id, revision, zoneSets }) =>
        contactList.unlink({ id, organizationId, zoneSets }, revision),
      ),
    );
  }

  /** Ends live leases; answers what each contact is now, undefined for a lease that was not live. */
  async function endAll(
    organizationId: number,
    endings: readonly (Omit<CallReport, "details"> & { details?: CallDetails })[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
  ) {
    const ended = await end(endings.map(({ key, outcome, details }) => ({ ...key, outcome, details })));
    for (const [i, { outcome }] of endings.entries()) {
      const contact = ended.contacts[i];
      if (contact !== undefined && contact !== "held") metrics.outcomes.inc({ outcome });
    }
    follow(organizationId, () => unlinkAll(organizationId, ended));
    return ended.contacts;
  }

  /** Takes leases back as if they had not been given; answers what each contact is then, if its lease was live. */
  async function takeAway(
    organizationId: number,
    keys: readonly LeaseKey[],
    { begin, by }: Pick<Steps, "begin"> & By,
  ): Promise<(Removed | Held | undefined)[]> {
    const removed = await begin((trx) => removeLeases(trx, organizationId, keys, { by }));
    const listed = keys.flatMap(({ jobId, number, attempt }, i) => {
      const contact = removed[i];
      if (contact === undefined || contact === "held" || attempt > 1) return [];
      return [{ jobId, number, zoneSet: contact.zoneSet }];
    });
    follow(organizationId, async () => {
      const lists = Map.groupBy(listed, ({ jobId, zoneSet }) => `${jobId} ${zoneSet}`);
      await Promise.all(
        [...lists.values()].map(async (ofList) => {
          const [first] = ofList;
          if (first === undefined) return;
          await reservations.giveBack(
            { id: first.jobId, organizationId, zoneSet: first.zoneSet },
            ofList.map(({ number }) => number),
          );
        }),
      );
    });
    return removed;
  }

  async function record(
    organizationId: number,
    reports: readonly ReportOf[],
    end: (endings: readonly Ending[]) => Promise<Ended>,
    steps: Steps,
  ): Promise<(Reported | Held)[]> {
    const seen = new Set<string>();
    const isRepeated = reports.map(({ key }) => seen.size === seen.add(nameOf(key)).size);
    const first = reports.filter((_, i) => !isRepeated[i]);
    const notDialed = first.filter((report) => !isOfCall(report));
    const backKeys = notDialed.map(({ key }) => key);
    const putBack =
      backKeys.length === 0
        ? []
        : await steps.orHeld(backKeys.length, () =>
            takeAway(organizationId, backKeys, { ...steps, by: "worker" }),
          );
    const ofCalls = first.filter(isOfCall);
    const contacts = await steps.orHeld(ofCalls.length, () => endAll(organizationId, ofCalls, end));
    const heldKeys = [...keysOfHeld(notDialed, putBack), ...keysOfHeld(ofCalls, contacts)];
    const held = new Set(heldKeys.map(({ jobId }) => jobId));
    let next = 0;
    let nextBack = 0;
    const results = reports.map((report, i): Reported | Held | undefined => {
      const isCall = isOfCall(report);
      if (isRepeated[i]) {
        if (held.has(report.key.jobId)) return "held";
        return isCall ? undefined : { kind: "gone" };
      }
      const contact = isCall ? contacts[next++] : putBack[nextBack++];
      if (contact === "held") return "held";
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
    const late = await steps.orHeld(rest.length, async () => {
      const recorded = await steps.begin((trx) => reportLate(trx, organizationId, rest));
      follow(organizationId, () => unlinkAll(organizationId, recorded));
      return recorded.results;
    });
    for (const result of late) {
      if (result !== "held" && result.kind === "recorded") metrics.outcomes.inc({ outcome: result.outcome });
    }
    let nextLate = 0;
    return results.map((result) => result ?? late[nextLate++] ?? { kind: "gone" });
  }

  /** Transactions that wait for nobody's job. */
  const atOnce = (organizationId: number): Steps => ({
    begin: (work) => shares.of(organizationId).transaction().execute(work),
    orHeld: (_, work) => work(),
  });

  /** Transactions that come after this job is free. */
  const after = (organizationId: number, jobId: string): Steps => ({
    begin: (work) => afterJob(shares.of(organizationId), organizationId, jobId, work),
    orHeld,
  });

  const recordWhenFree = createHeldJobs(shares, (organizationId, reports: readonly ReportOf[], jobId) => {
    const steps = after(organizationId, jobId);
    const end = (endings: readonly Ending[]) =>
      steps.begin((trx) => endLeases(trx, organizationId, endings, { onlyExpired: false }));
    return record(organizationId, reports, end, steps);
  });

  const takerWhenFree = ({ by }: By) =>
    createHeldJobs(shares, async (organizationId, items: readonly { key: LeaseKey }[], jobId) => {
      const keys = items.map(({ key }) => key);
      const steps = after(organizationId, jobId);
      const removed = await orHeld(keys.length, () => takeAway(organizationId, keys, { ...steps, by }));
      return removed.map((contact) => (contact === "held" ? contact : contact !== undefined));
    });
  const takeWhenFree = { worker: takerWhenFree({ by: "worker" }), call: takerWhenFree({ by: "call" }) };

  async function release(organizationId: number, keys: readonly LeaseKey[], { by }: By): Promise<boolean[]> {
    const removed = await takeAway(organizationId, keys, { ...atOnce(organizationId), by });
    return await Promise.all(
      keys.map((key, i) =>
        removed[i] === "held" ? takeWhenFree[by](organizationId, { key }) : removed[i] !== undefined,
      ),
    );
  }

  /** Releases leases that no worker has; nobody waits for it. */
  function releaseBeside(organizationId: number, leases: readonly LeaseKey[], options: By): void {
    if (leases.length === 0) return;
    const released = release(organizationId, leases, options)
      .catch((error: unknown) => logger.warn({ err: error }, "leases that no worker has are left to run out"))
      .finally(() => following.delete(released));
    following.add(released);
  }

  return {
    record: (organizationId, reports, end) => record(organizationId, reports, end, atOnce(organizationId)),

    recordHeld: (organizationId, reports, results) =>
      Promise.all(
        reports.map((report, i) => {
          const result = results[i] ?? "held";
          return result === "held" ? recordWhenFree(organizationId, report) : result;
        }),
      ),

    release: (organizationId, leaseIds) =>
      release(organizationId, leaseIds.map(readLeaseId), { by: "worker" }),

    takeBack: (organizationId, leases) => releaseBeside(organizationId, leases, { by: "call" }),

    drop: (organizationId, leases) => releaseBeside(organizationId, leases, { by: "worker" }),

    noteSuppressed(organizationId, suppressed) {
      for (const { count } of suppressed) metrics.suppressedContacts.inc(count);
      const finished = suppressed.flatMap(({ jobId: id, finalRevision: revision, zoneSets }) =>
        revision === undefined ? [] : [{ id, revision, zoneSets }],
      );
      if (finished.length > 0) follow(organizationId, () => unlinkAll(organizationId, { finished }));
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
