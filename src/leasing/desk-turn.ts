import type { Logger } from "pino";
import { beforeAllJobs } from "../domain/jobs/job-id.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { isPostgresUnavailable } from "../postgres/connections/database.ts";
import { type Ended, type Ending, endLeases } from "../postgres/leasing/lease-ends.ts";
import type { Opened, Opening } from "../postgres/leasing/leases.ts";
import type { Held } from "../postgres/jobs/locks.ts";
import { takeTurn } from "../postgres/leasing/turn.ts";
import { afterPatience } from "../timing/patience.ts";
import { createRecent } from "../timing/recent.ts";
import { type Ahead, type Opening as NextOpening, leastAheadMs } from "./ahead.ts";
import { type BegunJobs, offerBegun, wantedOf } from "./begun.ts";
import type { Lease, LeaseRound, Prepared } from "./lease-round.ts";
import type { Recorder, ReportOf, Reported } from "./recorder.ts";
import type { Ask, Waiter } from "./waiter.ts";

/** A call that reports. */
type ReportCall = {
  readonly reports: readonly ReportOf[];
  /** Has its place in the turn in which these are recorded. */
  readonly next: Waiter | undefined;
  readonly resolve: (results: Reported[]) => void;
  readonly reject: (error: unknown) => void;
};

/** Waiters that want contacts of the same jobs, and what was reserved for them. */
type Group = { readonly waiters: readonly Waiter[]; readonly prepared: Prepared };

/** The calls of one organization that report or wait: they have their turns together, one after another. */
export type Desk = {
  readonly organizationId: number;
  readonly waiters: Set<Waiter>;
  reportCalls: ReportCall[];
  /** Jobs that this replica has just started. */
  readonly begun: BegunJobs;
  /** What is being reserved for the next turn. */
  preparing: Promise<readonly Group[]> | undefined;
  /** When there will next be contacts to lease, as was last heard: the next few times, of which some may be over. */
  openings: readonly NextOpening[];
  /** Reports have waited for that, in vain, and wait for it no more. */
  isLate: boolean;
  /** To be told of a report that comes while something is being reserved. */
  onReport: (() => void) | undefined;
};

/** Bounds a transaction: so many calls of at most 1,000 reports. */
const mostReportCalls = 100;

/** And so many kinds of calls that only wait, each for contacts of other jobs. */
const mostIdleKinds = 16;

/** So many turns without a contact end a search through more jobs than one turn looks at. */
const mostDryTurns = 32;

/** Reports wait no longer for what may be leased in their turn: a Redis that hangs delays none. */
const usualReservingMs = 50;

/** About 2 MB. Of an organization that is forgotten the first job has the next turn. */
const mostLastJobs = 10_000;

const isReporting = (waiters: readonly Waiter[]): boolean =>
  waiters.some(({ isWithReports }) => isWithReports);

/** The reports of this turn: those of calls that want nothing, or for whom something may be reserved. */
function takeReportCalls(desk: Desk, groups: readonly Group[] | undefined): readonly ReportCall[] {
  const served = new Set(groups?.flatMap(({ waiters }) => waiters));
  const calls = desk.reportCalls
    .filter(({ next }) => groups === undefined || next === undefined || next.isOver || served.has(next))
    .slice(0, mostReportCalls);
  const taken = new Set(calls);
  desk.reportCalls = desk.reportCalls.filter((call) => !taken.has(call));
  return calls;
}

/** Answers each call with the results of its own reports; `finish` waits for those that are not recorded yet. */
async function answer(
  calls: readonly ReportCall[],
  recording: ReturnType<Recorder["record"]>,
  finish: (reports: readonly ReportOf[], results: readonly (Reported | Held)[]) => Promise<Reported[]>,
): Promise<void> {
  try {
    const results = await recording;
    let done = 0;
    for (const { reports, resolve, reject } of calls) {
      finish(reports, results.slice(done, (done += reports.length))).then(resolve, reject);
    }
  } catch (error) {
    for (const { reject } of calls) reject(error);
    throw error;
  }
}

/**
 * Takes turns of desks. A turn records what is reported at the time, and leases to those who wait, in one transaction;
 * what it may lease is reserved before, so that nobody waits for Redis under a lock. Answers whether another turn may
 * give more at once.
 */
export function createDeskTurns(deps: {
  shares: Shares;
  round: LeaseRound;
  recorder: Recorder;
  logger: Logger;
  /** How long reports wait for what may be leased in their turn. */
  reservingMs?: number;
  ahead: Ahead;
  /** Takes over the live leases of a call's request id; undefined if a later call has them. */
  takeOver: (ask: Ask) => Promise<readonly Lease[] | undefined>;
  /** Once it is aborted nobody waits for another turn. */
  stopping: AbortSignal;
}): (desk: Desk) => Promise<boolean> {
  const { shares, round, recorder, logger, ahead, takeOver, stopping, reservingMs = usualReservingMs } = deps;
  /** The job of each organization that had the last turn, of those that were served last. */
  const lastJobs = createRecent<number, string>(mostLastJobs);

  /**
   * Ends a waiting call whose request id has leases of another call: with these leases, or with none if it is the
   * older.
   */
  async function settleRepeated(waiter: Waiter): Promise<boolean> {
    if (waiter.isOver) return false;
    try {
      const leases = await takeOver(waiter.ask);
      // Perhaps they have ended meanwhile; then it waits on.
      if (leases?.length !== 0) waiter.settle(leases ?? []);
      return leases !== undefined && leases.length > 0;
    } catch (error) {
      waiter.fail(error);
      return false;
    }
  }

  /** Reserves contacts for those who are here, as if what is reported had ended. Those for whom that fails are told. */
  async function prepare(desk: Desk): Promise<readonly Group[]> {
    const calls = desk.reportCalls.slice(0, mostReportCalls);
    const ending = new Map<string, number>();
    for (const { key } of calls.flatMap(({ reports }) => reports)) {
      ending.set(key.jobId, (ending.get(key.jobId) ?? 0) + 1);
    }
    for (const { next } of calls) if (next !== undefined && !next.isOver) desk.waiters.add(next);
    const kinds = [...Map.groupBy(desk.waiters, ({ kind }) => kind).values()];
    const others = kinds.filter((waiters) => !isReporting(waiters)).slice(0, mostIdleKinds);
    const chosen = [...kinds.filter(isReporting), ...others];
    // Those that are left out come first the next time.
    if (chosen.length < kinds.length) {
      for (const waiter of others.flat()) {
        desk.waiters.delete(waiter);
        desk.waiters.add(waiter);
      }
    }
    const afterJobId = lastJobs.get(desk.organizationId) ?? beforeAllJobs;
    const begun = desk.begun.take();
    desk.openings = ahead.leftOf(desk.openings);
    const asOf = ahead.lookFor(
      desk.openings[0],
      calls.length > 0 ? leastAheadMs : ahead.msOf(desk.organizationId),
    );
    const groups = await Promise.all(
      chosen.map(async (waiters): Promise<Group[]> => {
        const demands = waiters.map(({ ask }) => ask);
        const onlyJobIds = demands[0]?.jobIds ?? [];
        const offered = isReporting(waiters) ? [] : wantedOf(begun, onlyJobIds);
        if (offered.length > 0) return [{ waiters, prepared: offerBegun(offered, demands, afterJobId) }];
        try {
          const choice = { onlyJobIds, afterJobId, ending, asOf };
          return [{ waiters, prepared: await round.prepare(desk.organizationId, demands, choice) }];
        } catch (error) {
          for (const waiter of waiters) waiter.fail(error);
          return [];
        }
      }),
    );
    return groups.flat();
  }

  /** What has been reserved; undefined once reports have waited for it long enough. */
  async function preparedInTime(desk: Desk): Promise<readonly Group[] | undefined> {
    desk.preparing ??= prepare(desk);
    const late = Promise.withResolvers<undefined>();
    let callOff: (() => void) | undefined;
    const giveUp = (): void => {
      desk.isLate = true;
      late.resolve(undefined);
    };
    const hurry = (): void => {
      desk.onReport = undefined;
      if (desk.isLate) giveUp();
      else callOff = afterPatience(reservingMs, giveUp);
    };
    if (desk.reportCalls.length > 0) hurry();
    else desk.onReport = hurry;
    const groups = await Promise.race([desk.preparing, late.promise]);
    desk.onReport = undefined;
    callOff?.();
    if (groups === undefined) return undefined;
    desk.preparing = undefined;
    desk.isLate = false;
    return groups;
  }

  /**
   * Ends what was reported and opens what was reserved. Whatever is wrong with the leases, the reports are recorded.
   */
  async function endAndOpen(
    organizationId: number,
    endings: readonly Ending[],
    openings: readonly Opening[],
  ): Promise<{ ended: Ended; opened: Opened[] | Error }> {
    const db = shares.of(organizationId);
    try {
      return await takeTurn(db, organizationId, endings, openings);
    } catch (error) {
      if (endings.length === 0 || openings.length === 0 || isPostgresUnavailable(error)) throw error;
      logger.error({ err: error }, "nothing could be leased; what was reported with it is recorded alone");
      const ended = await endLeases(db, organizationId, endings, { onlyExpired: false });
      return { ended, opened: error instanceof Error ? error : new Error("nothing could be leased") };
    }
  }

  /**
   * One transaction. Answers what was opened once it is committed; the calls that reported are answered by themselves.
   */
  async function record(
    organizationId: number,
    calls: readonly ReportCall[],
    openings: readonly Opening[],
  ): Promise<Opened[] | Error> {
    if (calls.length === 0 && openings.length === 0) return [];
    if (calls.length === 0) return (await endAndOpen(organizationId, [], openings)).opened;
    const opened = Promise.withResolvers<Opened[] | Error>();
    const recording = recorder.record(
      organizationId,
      calls.flatMap(({ reports }) => reports),
      async (endings) => {
        const turn = await endAndOpen(organizationId, endings, openings);
        opened.resolve(turn.opened);
        return turn.ended;
      },
    );
    answer(calls, recording, (reports, results) =>
      recorder.recordHeld(organizationId, reports, results),
    ).catch(opened.reject);
    return await opened.promise;
  }

  /** Gives a group what was opened for it; answers whether another turn may give more at once. */
  async function serveGroup(
    { waiters, prepared }: Group,
    takers: readonly Waiter[],
    opened: Opened | undefined,
  ): Promise<boolean> {
    const { leases, isStale } =
      opened === undefined ? { leases: [], isStale: false } : prepared.conclude(opened);
    let served = false;
    for (const [place, waiter] of takers.entries()) {
      const given = leases[place] ?? [];
      if (given.length === 0) continue;
      waiter.settle(given);
      served = true;
    }
    for (const place of opened?.repeated ?? []) {
      const waiter = takers[place];
      if (waiter !== undefined && (await settleRepeated(waiter))) served = true;
    }
    const mayGive = isStale || !prepared.isWhole;
    let searches = false;
    for (const waiter of waiters) {
      if (waiter.isOver) continue;
      waiter.dryTurns = served ? 0 : waiter.dryTurns + 1;
      const isDry = !served && (!mayGive || waiter.dryTurns >= mostDryTurns);
      const isLate = waiter.deadlineMs <= performance.now() || stopping.aborted;
      if (waiter.isWithReports || (isDry && isLate)) waiter.settle([]);
      else if (!isDry) searches = true;
    }
    return searches || isStale;
  }

  return async function takeOneTurn(desk) {
    const { organizationId } = desk;
    const beganMs = performance.now();
    const wantsLeases =
      desk.waiters.size > 0 || desk.reportCalls.some(({ next }) => next !== undefined && !next.isOver);
    const groups = wantsLeases || desk.preparing !== undefined ? await preparedInTime(desk) : ([] as const);
    const mayOpen = groups?.some(({ prepared }) => prepared.offers.length > 0) === true;
    const waitedMs = mayOpen ? await ahead.waitOut(desk.openings[0]) : 0;
    const calls = takeReportCalls(desk, groups);
    const taking = (groups ?? []).map((group) => {
      const waiters = group.waiters.filter(({ isOver }) => !isOver);
      lastJobs.set(organizationId, group.prepared.after);
      return { group, waiters, takers: group.prepared.takersOf(waiters.map(({ ask }) => ask)) };
    });
    const opening = taking.filter(
      ({ group: { prepared }, takers }) => prepared.offers.length > 0 && takers.length > 0,
    );
    for (const one of taking) if (!opening.includes(one)) one.group.prepared.giveBack();
    const openings = opening.map(({ group, takers }) => ({ offers: group.prepared.offers, takers }));
    let opened: Opened[] | Error;
    try {
      opened = await record(organizationId, calls, openings);
    } catch (error) {
      opened = error instanceof Error ? error : new Error("nothing could be leased");
    }
    if (openings.length > 0) ahead.noteTurn(organizationId, performance.now() - beganMs - waitedMs);
    if (opened instanceof Error) {
      for (const { group } of taking) for (const waiter of group.waiters) waiter.fail(opened);
      for (const { next } of calls) next?.leave();
      return false;
    }
    for (const { suppressed } of opened) recorder.noteSuppressed(organizationId, suppressed);
    let mayGiveMore = false;
    for (const one of taking) {
      const place = opening.indexOf(one);
      const got = place === -1 ? undefined : opened[place];
      mayGiveMore = (await serveGroup(one.group, one.waiters, got)) || mayGiveMore;
    }
    // Nothing was reserved in time for those that are left.
    for (const { next } of calls) next?.settle([]);
    return mayGiveMore;
  };
}
