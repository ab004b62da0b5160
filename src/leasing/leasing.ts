import type { Logger } from "pino";
import { type Alarm, createAlarm } from "../alarm.ts";
import type { Caller } from "../domain/caller.ts";
import { jittered } from "../loop.ts";
import type { Clock } from "../clock.ts";
import type { Shares } from "../postgres/connections.ts";
import { readLeaseId } from "../domain/lease-id.ts";
import { nextRetryAt } from "../postgres/candidates.ts";
import { extendLeases, findLeases } from "../postgres/leases.ts";
import { beforeAllJobs, isUuid } from "../postgres/batch-jobs.ts";
import type { SettingsOf } from "./job-settings.ts";
import { type Demand, type Lease, type LeaseRound, withSettings } from "./lease-round.ts";
import { createRecent } from "../recent.ts";
import type { Recorder } from "./recorder.ts";

export type LeaseRequest = Demand & {
  readonly caller: Caller;
  readonly waitMs: number;
  /** Only contacts of these jobs; none means all. */
  readonly jobIds: readonly string[];
  readonly signal: AbortSignal;
};

/** The waiting calls of one organization: they are served together, one round after another. */
type Desk = { readonly waiters: Set<Waiter>; readonly alarm: Alarm };

type Waiter = {
  readonly request: LeaseRequest;
  readonly deadlineMs: number;
  /** Ends the call; leases for a caller that has gone are released. */
  readonly settle: (leases: readonly Lease[]) => void;
  readonly fail: (error: unknown) => void;
};

export type Leasing = AsyncDisposable & {
  /** Leases contacts, or waits for the first one that can be leased; none if there is none in time. */
  lease(request: LeaseRequest): Promise<readonly Lease[]>;
  /** Puts off the end of live leases; answers the new end of each, undefined for one that is not live. */
  extend(caller: Caller, leaseIds: readonly string[], durationMs: number): Promise<(Date | undefined)[]>;
  /** Ends all calls that wait, with this error. What is leased for them later is released. */
  fail(error: unknown): void;
  /** Says that an organization may have contacts to give. */
  ring(organizationId: string): void;
};

/** So many rounds without a contact end a search through more jobs than one round looks at. */
const mostDryRounds = 32;

/** What a lost wake-up costs at most. */
const floorMs = 1_000;

/** About 2 MB. Of an organization that is forgotten the first job has the next turn. */
const mostTurns = 10_000;

export function createLeasing(deps: {
  shares: Shares;
  settingsOf: SettingsOf;
  round: LeaseRound;
  recorder: Recorder;
  clock: Clock;
  logger: Logger;
}): Leasing {
  const { shares, settingsOf, round, recorder, clock, logger } = deps;
  const desks = new Map<string, Desk>();
  /** The job of each organization that had the last turn, of those that were served last. */
  const turns = createRecent<string, string>(mostTurns);
  const serving = new Set<Promise<void>>();
  const repeated = new Map<string, Promise<readonly Lease[]>>();
  const stop = new AbortController();

  function release(organizationId: string, leases: readonly Lease[]): void {
    recorder
      .release(
        organizationId,
        leases.map(({ leaseId }) => leaseId),
      )
      .catch((error: unknown) => logger.warn({ err: error }, "leases without a worker are left to run out"));
  }

  /**
   * Serves those who want contacts of the same jobs until they have some or no job gives any. True if one did, or if it
   * may after what it gave up in vain.
   */
  async function serveAlike(organizationId: string, desk: Desk, alike: readonly Waiter[]): Promise<boolean> {
    const jobIds = alike[0]?.request.jobIds ?? [];
    let gave = false;
    let isStale = false;
    for (let dryRounds = 0; dryRounds < mostDryRounds;) {
      const waiting = alike.filter((waiter) => desk.waiters.has(waiter));
      if (waiting.length === 0) break;
      const demands = waiting.map(({ request }) => request);
      const last = turns.get(organizationId) ?? beforeAllJobs;
      const found = await round(organizationId, demands, jobIds, last);
      const { leases } = found;
      isStale = found.isStale;
      turns.set(organizationId, found.after);
      const served = waiting.filter((_, place) => (leases[place] ?? []).length > 0);
      for (const [place, waiter] of waiting.entries()) {
        const given = leases[place] ?? [];
        if (given.length > 0) waiter.settle(given);
      }
      if (served.length > 0) gave = true;
      else if (found.isWhole && !isStale) break;
      else dryRounds += 1;
    }
    return gave || isStale;
  }

  async function idleMs(organizationId: string, desk: Desk): Promise<number> {
    const due = await nextRetryAt(shares.of(organizationId), organizationId);
    const toRetry = due === null ? Infinity : due.getTime() - clock.now();
    const toDeadline = Math.min(...[...desk.waiters].map(({ deadlineMs }) => deadlineMs)) - performance.now();
    return Math.max(1, Math.min(jittered(floorMs), toRetry, toDeadline));
  }

  async function serve(organizationId: string, desk: Desk): Promise<void> {
    try {
      while (desk.waiters.size > 0) {
        // Those who come during the rounds below have their turn in the next ones.
        const present = [...desk.waiters];
        const groups = Map.groupBy(present, ({ request }) => request.jobIds.toSorted().join());
        let gave = false;
        for (const alike of groups.values()) gave = (await serveAlike(organizationId, desk, alike)) || gave;
        for (const waiter of present) {
          const isOver = waiter.deadlineMs <= performance.now() || stop.signal.aborted;
          if (isOver && desk.waiters.has(waiter)) waiter.settle([]);
        }
        if (!gave && desk.waiters.size > 0) await desk.alarm.sleep(await idleMs(organizationId, desk));
      }
    } catch (error) {
      for (const waiter of desk.waiters) waiter.fail(error);
    } finally {
      desks.delete(organizationId);
    }
  }

  function wait(request: LeaseRequest): Promise<readonly Lease[]> {
    const { organizationId } = request.caller;
    const { promise, resolve, reject } = Promise.withResolvers<readonly Lease[]>();
    let desk = desks.get(organizationId);
    const isNew = desk === undefined;
    desk ??= { waiters: new Set(), alarm: createAlarm() };
    desks.set(organizationId, desk);

    const end = () => {
      desk.waiters.delete(waiter);
      request.signal.removeEventListener("abort", leave);
    };
    const leave = () => {
      end();
      resolve([]);
    };
    const waiter: Waiter = {
      request,
      deadlineMs: performance.now() + request.waitMs,
      settle(leases) {
        const isGone = request.signal.aborted || !desk.waiters.has(waiter);
        end();
        if (isGone) release(organizationId, leases);
        resolve(isGone ? [] : leases);
      },
      fail(error) {
        end();
        reject(error);
      },
    };
    request.signal.addEventListener("abort", leave);
    desk.waiters.add(waiter);
    if (isNew) {
      const served = serve(organizationId, desk).finally(() => serving.delete(served));
      serving.add(served);
    } else desk.alarm.ring();
    return promise;
  }

  /** A repetition gets the live leases of the call that it repeats, or joins it if it still waits. */
  async function repeatable(request: LeaseRequest): Promise<readonly Lease[]> {
    const { caller, requestId } = request;
    if (requestId === "") return await wait(request);
    const key = `${caller.organizationId} ${requestId}`;
    const first = repeated.get(key);
    if (first !== undefined) return await first;
    const db = shares.of(caller.organizationId);
    const live = async () =>
      await withSettings(settingsOf, await findLeases(db, caller.organizationId, requestId));
    const promise = (async () => {
      for (const answer of [live, () => wait(request)]) {
        const leases = await answer();
        if (leases.length > 0) return leases;
      }
      // Perhaps another replica had the same call meanwhile.
      return await live();
    })();
    repeated.set(key, promise);
    try {
      return await promise;
    } finally {
      repeated.delete(key);
    }
  }

  return {
    async lease(request) {
      if (stop.signal.aborted || request.signal.aborted) return [];
      const jobIds = request.jobIds.filter(isUuid);
      if (jobIds.length === 0 && request.jobIds.length > 0) return [];
      return await repeatable({ ...request, jobIds });
    },
    extend: (caller, leaseIds, durationMs) =>
      extendLeases(
        shares.of(caller.organizationId),
        caller.organizationId,
        leaseIds.map(readLeaseId),
        durationMs,
      ),
    fail(error) {
      for (const desk of desks.values()) for (const waiter of desk.waiters) waiter.fail(error);
    },
    ring: (organizationId) => desks.get(organizationId)?.alarm.ring(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      for (const desk of desks.values()) desk.alarm.ring();
      await Promise.all(serving);
    },
  };
}
