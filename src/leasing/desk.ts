import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import { type Alarm, createAlarm } from "../timing/alarm.ts";
import { jittered } from "../timing/loop.ts";
import type { Clock } from "../vitals/clock.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { nextReadyAt } from "../postgres/leasing/candidates.ts";
import { createAhead } from "./ahead.ts";
import { type BegunJob, createBegunJobs } from "./begun.ts";
import { type Desk, createDeskTurns } from "./desk-turn.ts";
import type { Lease, LeaseRound } from "./lease-round.ts";
import type { Recorder, ReportOf, Reported } from "./recorder.ts";
import { type Ask, type Waiter, createWaiter } from "./waiter.ts";

export type Desks = AsyncDisposable & {
  /** Has the call served with those that wait; undefined if its caller has gone, or has repeated it. */
  wait(ask: Ask): Promise<readonly Lease[] | undefined>;
  /** Records reports in the organization's next turn. With an ask, what becomes free is leased in the same one. */
  report(
    organizationId: number,
    reports: readonly ReportOf[],
    ask?: Ask,
  ): Promise<{ results: Reported[]; leases: readonly Lease[] }>;
  /** The calls that wait here and that this one repeats. */
  olderThan(ask: Ask): readonly Waiter[];
  /** Ends all calls that wait, with this error. */
  fail(error: unknown): void;
  ring(organizationId: number): void;
  /** Offers jobs that have just begun to run to those of the organization who wait here, if anybody does. */
  offer(organizationId: number, jobs: readonly BegunJob[]): void;
};

/** A desk, and what wakes it. */
type OpenDesk = Desk & { readonly alarm: Alarm };

/** Instants are cut to milliseconds, and turns begin a little before they look. */
const clockSlackMs = 2;

/** Serves the calls of each organization in turns, as long as there are some. */
export function createDesks(deps: {
  shares: Shares;
  round: LeaseRound;
  recorder: Recorder;
  clock: Clock;
  logger: Logger;
  /** What a lost wake-up costs at most. */
  longestSleepMs: number;
  reservingMs?: number;
  takeOver: (ask: Ask) => Promise<readonly Lease[] | undefined>;
}): Desks {
  const { shares, recorder, clock, logger, longestSleepMs } = deps;
  const desks = new Map<number, OpenDesk>();
  const serving = new Set<Promise<void>>();
  const stop = new AbortController();
  const ahead = createAhead(clock);
  const takeOneTurn = createDeskTurns({ ...deps, ahead, stopping: stop.signal });

  /** What may have become ready since the last turn looked was not seen by it. */
  async function idleMs(desk: OpenDesk, lookedAtMs: number): Promise<number> {
    const { organizationId, waiters } = desk;
    const lookedMsAgo = performance.now() - lookedAtMs + clockSlackMs;
    const { readyAt, opensAt } = await nextReadyAt(shares.of(organizationId), organizationId, lookedMsAgo);
    // What a pace allows changes with every lease, so that it is not looked for before.
    const openings = opensAt.map((at) => at.getTime());
    desk.openings = openings.map(
      (atMs) => desk.openings.find((known) => known.atMs === atMs) ?? { atMs, isLookedFor: false },
    );
    const [next] = desk.openings;
    const lookMs = next?.isLookedFor === false ? next.atMs - ahead.msOf(organizationId) : Infinity;
    const toReady = Math.min(readyAt?.getTime() ?? Infinity, lookMs) - clock.now();
    const toDeadline = Math.min(...[...waiters].map(({ deadlineMs }) => deadlineMs)) - performance.now();
    return Math.max(1, Math.min(jittered(longestSleepMs), toReady, toDeadline));
  }

  async function sleep(desk: OpenDesk, lookedAtMs: number): Promise<void> {
    try {
      await desk.alarm.sleep(await idleMs(desk, lookedAtMs));
    } catch (error) {
      for (const waiter of desk.waiters) waiter.fail(error);
    }
    for (const waiter of desk.waiters) waiter.dryTurns = 0;
  }

  async function serve(desk: OpenDesk): Promise<void> {
    try {
      // What came with the same packet comes along.
      await nextTurn();
      let lookedAtMs = performance.now();
      while (desk.reportCalls.length > 0 || desk.waiters.size > 0 || desk.preparing !== undefined) {
        if (desk.preparing === undefined) lookedAtMs = performance.now();
        const mayGiveMore = await takeOneTurn(desk);
        const isBusy = mayGiveMore || desk.reportCalls.length > 0 || desk.preparing !== undefined;
        if (!isBusy && desk.waiters.size > 0) await sleep(desk, lookedAtMs);
      }
    } catch (error) {
      logger.error({ err: error }, "the calls of an organization could not be served");
      for (const { reject } of desk.reportCalls) reject(error);
      for (const waiter of desk.waiters) waiter.fail(error);
    } finally {
      desks.delete(desk.organizationId);
    }
  }

  function deskOf(organizationId: number): OpenDesk {
    const known = desks.get(organizationId);
    if (known !== undefined) return known;
    const desk: OpenDesk = {
      organizationId,
      waiters: new Set(),
      reportCalls: [],
      alarm: createAlarm(),
      begun: createBegunJobs(),
      openings: [],
      preparing: undefined,
      isLate: false,
      onReport: undefined,
    };
    desks.set(organizationId, desk);
    const served = serve(desk).finally(() => serving.delete(served));
    serving.add(served);
    return desk;
  }

  function begin(desk: OpenDesk, ask: Ask, isWithReports: boolean) {
    return createWaiter(ask, {
      isWithReports,
      takeBack: (leases) => recorder.takeBack(desk.organizationId, leases),
      onEnd: (waiter) => desk.waiters.delete(waiter),
    });
  }

  function enqueue(desk: OpenDesk, reports: readonly ReportOf[], next?: Waiter): Promise<Reported[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Reported[]>();
    desk.reportCalls.push({ reports, next, resolve, reject });
    desk.onReport?.();
    desk.alarm.ring();
    return promise;
  }

  return {
    wait(ask) {
      if (ask.signal.aborted) return Promise.resolve(undefined);
      const desk = deskOf(ask.caller.organizationId);
      const { waiter, answer } = begin(desk, ask, false);
      desk.waiters.add(waiter);
      desk.alarm.ring();
      return answer;
    },

    async report(organizationId, reports, ask) {
      const desk = deskOf(organizationId);
      if (ask === undefined || ask.signal.aborted || stop.signal.aborted) {
        return { results: await enqueue(desk, reports), leases: [] };
      }
      const { waiter, answer } = begin(desk, ask, true);
      const [recorded, leased] = await Promise.allSettled([enqueue(desk, reports, waiter), answer]);
      const leases = leased.status === "fulfilled" ? (leased.value ?? []) : [];
      if (recorded.status === "rejected") {
        recorder.takeBack(organizationId, leases);
        throw recorded.reason;
      }
      if (leased.status === "rejected") {
        logger.warn({ err: leased.reason }, "reports are answered without contacts");
      }
      return { results: recorded.value, leases };
    },

    olderThan({ caller, requestId, ticket }) {
      const desk = desks.get(caller.organizationId);
      const queued = desk?.reportCalls.flatMap(({ next }) => next ?? []) ?? [];
      return [...(desk?.waiters ?? []), ...queued].filter(
        ({ ask }) => ask.requestId === requestId && ask.ticket < ticket,
      );
    },

    fail(error) {
      for (const desk of desks.values()) for (const waiter of desk.waiters) waiter.fail(error);
    },

    ring: (organizationId) => desks.get(organizationId)?.alarm.ring(),

    offer(organizationId, jobs) {
      const desk = desks.get(organizationId);
      if (desk === undefined || desk.waiters.size === 0) return;
      desk.begun.add(jobs);
      desk.alarm.ring();
    },

    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const desk of desks.values()) desk.alarm.ring();
      await Promise.all(serving);
    },
  };
}
