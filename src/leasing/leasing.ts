import { setImmediate as nextTurn } from "node:timers/promises";
import { type Alarm, createAlarm } from "../timing/alarm.ts";
import type { Caller } from "../domain/caller.ts";
import { jittered } from "../timing/loop.ts";
import type { Clock } from "../vitals/clock.ts";
import type { Shares } from "../postgres/connections.ts";
import { readLeaseId, writeLeaseId } from "../domain/lease-id.ts";
import { nextRetryAt } from "../postgres/candidates.ts";
import { drawTicket, extendLeases, takeOverLeases } from "../postgres/leases.ts";
import { beforeAllJobs, isUuid } from "../domain/job-id.ts";
import { createRecent } from "../timing/recent.ts";
import type { Demand, Lease, LeaseRound } from "./lease-round.ts";
import type { Recorder } from "./recorder.ts";

export type LeaseRequest = Omit<Demand, "ticket"> & {
  readonly caller: Caller;
  readonly waitMs: number;
  /** Only contacts of these jobs; none means all. */
  readonly jobIds: readonly string[];
  readonly signal: AbortSignal;
};

/** The waiting calls of one organization: they are served together, one round after another. */
type Desk = { readonly waiters: Set<Waiter>; readonly alarm: Alarm };

/** A call that may have leases, under its ticket. */
type Ask = LeaseRequest & Demand;

type Waiter = {
  readonly ask: Ask;
  readonly deadlineMs: number;
  /** Ends the call; leases for a caller that has gone are released. */
  readonly settle: (leases: readonly Lease[]) => void;
  /** Ends the call with nothing; what is leased for it later is released. */
  readonly leave: () => void;
  readonly fail: (error: unknown) => void;
};

export type Leasing = AsyncDisposable & {
  /**
   * Leases contacts, or waits for the first one that can be leased; none if there is none in time. A repeat of a call that
   * its caller has given up takes over the live leases of that call, as new leases; whatever that call does with its own is
   * done to leases that are not there any more.
   */
  lease(request: LeaseRequest): Promise<readonly Lease[]>;
  /** Puts off the end of live leases; answers the new end of each, undefined for one that is not live. */
  extend(caller: Caller, leaseIds: readonly string[], durationMs: number): Promise<(Date | undefined)[]>;
  /** Ends all calls that wait, with this error. What is leased for them later is released. */
  fail(error: unknown): void;
  /** Says that an organization may have contacts to give. */
  ring(organizationId: number): void;
};

/** So many rounds without a contact end a search through more jobs than one round looks at. */
const mostDryRounds = 32;

/** What a lost wake-up costs at most. */
const defaultFloorMs = 1_000;

/** About 2 MB. Of an organization that is forgotten the first job has the next turn. */
const mostTurns = 10_000;

export function createLeasing(deps: {
  shares: Shares;
  round: LeaseRound;
  recorder: Recorder;
  clock: Clock;
  floorMs?: number;
}): Leasing {
  const { shares, round, recorder, clock, floorMs = defaultFloorMs } = deps;
  const desks = new Map<number, Desk>();
  /** The job of each organization that had the last turn, of those that were served last. */
  const turns = createRecent<number, string>(mostTurns);
  const serving = new Set<Promise<void>>();
  const stop = new AbortController();

  /**
   * Takes over what other calls have leased under the request id; undefined if a later call has it. What does not fit into
   * the answer is released.
   */
  async function takeOver({ maxContacts, caller, ...taker }: Ask): Promise<readonly Lease[] | undefined> {
    const { organizationId } = caller;
    const taken = await takeOverLeases(shares.of(organizationId), organizationId, {
      ...taker,
      most: maxContacts,
    });
    recorder.takeBack(organizationId, taken.surplus);
    return taken.isLate
      ? undefined
      : taken.leases.map((lease) => ({ ...lease, leaseId: writeLeaseId(lease) }));
  }

  /** Ends a waiting call whose request id has leases of another call: with these leases, or with none if it is the older. */
  async function settleRepeated(waiter: Waiter): Promise<boolean> {
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

  /**
   * Serves those who want contacts of the same jobs until they have some or no job gives any. True if one did, or if it
   * may after what it gave up in vain.
   */
  async function serveAlike(organizationId: number, desk: Desk, alike: readonly Waiter[]): Promise<boolean> {
    const jobIds = alike[0]?.ask.jobIds ?? [];
    let gave = false;
    let isStale = false;
    for (let dryRounds = 0; dryRounds < mostDryRounds;) {
      const waiting = alike.filter((waiter) => desk.waiters.has(waiter));
      if (waiting.length === 0) break;
      const demands = waiting.map(({ ask }) => ask);
      const last = turns.get(organizationId) ?? beforeAllJobs;
      const found = await round(organizationId, demands, jobIds, last);
      isStale = found.isStale;
      turns.set(organizationId, found.after);
      let served = false;
      for (const [place, waiter] of waiting.entries()) {
        const given = found.leases[place] ?? [];
        if (given.length === 0) continue;
        waiter.settle(given);
        served = true;
      }
      for (const place of found.repeated) {
        const waiter = waiting[place];
        if (waiter !== undefined && (await settleRepeated(waiter))) served = true;
      }
      if (served) gave = true;
      else if (found.isWhole && !isStale) break;
      else dryRounds += 1;
    }
    return gave || isStale;
  }

  async function idleMs(organizationId: number, desk: Desk): Promise<number> {
    const due = await nextRetryAt(shares.of(organizationId), organizationId);
    const toRetry = due === null ? Infinity : due.getTime() - clock.now();
    const toDeadline = Math.min(...[...desk.waiters].map(({ deadlineMs }) => deadlineMs)) - performance.now();
    return Math.max(1, Math.min(jittered(floorMs), toRetry, toDeadline));
  }

  async function serve(organizationId: number, desk: Desk): Promise<void> {
    try {
      while (desk.waiters.size > 0) {
        // Those who come during the rounds below have their turn in the next ones.
        const present = [...desk.waiters];
        const groups = Map.groupBy(present, ({ ask }) => ask.jobIds.toSorted().join());
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

  /** Has the call served with those that wait; undefined if its caller has gone, or has repeated it. */
  function wait(ask: Ask): Promise<readonly Lease[] | undefined> {
    const { organizationId } = ask.caller;
    if (ask.signal.aborted) return Promise.resolve(undefined);
    const { promise, resolve, reject } = Promise.withResolvers<readonly Lease[] | undefined>();
    let desk = desks.get(organizationId);
    const isNew = desk === undefined;
    desk ??= { waiters: new Set(), alarm: createAlarm() };
    desks.set(organizationId, desk);

    const end = () => {
      desk.waiters.delete(waiter);
      ask.signal.removeEventListener("abort", waiter.leave);
    };
    const waiter: Waiter = {
      ask,
      deadlineMs: performance.now() + ask.waitMs,
      settle(leases) {
        const isGone = ask.signal.aborted || !desk.waiters.has(waiter);
        end();
        if (isGone) recorder.takeBack(organizationId, leases);
        resolve(isGone ? undefined : leases);
      },
      leave() {
        end();
        resolve(undefined);
      },
      fail(error) {
        end();
        reject(error);
      },
    };
    ask.signal.addEventListener("abort", waiter.leave);
    desk.waiters.add(waiter);
    if (isNew) {
      const served = serve(organizationId, desk).finally(() => serving.delete(served));
      serving.add(served);
    } else desk.alarm.ring();
    return promise;
  }

  /** Ends the calls that wait here and that this one repeats: nobody waits for their answers. */
  function endOlder({ caller, requestId, ticket }: Ask): void {
    for (const waiter of desks.get(caller.organizationId)?.waiters ?? []) {
      if (waiter.ask.requestId === requestId && waiter.ask.ticket < ticket) waiter.leave();
    }
  }

  /** Takes over for a caller who is there still; undefined if the caller has gone, or has repeated the call. */
  async function takeOverFor(ask: Ask): Promise<readonly Lease[] | undefined> {
    // A replica that stood still hears now of a caller who has given up, and who may have repeated the call elsewhere.
    await nextTurn();
    if (ask.signal.aborted) return undefined;
    const leases = await takeOver(ask);
    if (!ask.signal.aborted) return leases;
    recorder.takeBack(ask.caller.organizationId, leases ?? []);
    return undefined;
  }

  /**
   * The ticket is drawn by itself, before anything is done under it: a statement that was held up on its way comes with the
   * ticket of its time, and takes nothing from a call that was later.
   */
  async function leaseUnderTicket(request: LeaseRequest): Promise<readonly Lease[] | undefined> {
    const { caller, requestId } = request;
    const { ticket, isRepeat } = await drawTicket(
      shares.of(caller.organizationId),
      caller.organizationId,
      requestId,
    );
    const ask = { ...request, ticket };
    endOlder(ask);
    const taken = isRepeat ? await takeOverFor(ask) : [];
    if (taken?.length !== 0) return taken;
    const given = await wait(ask);
    // Perhaps the call that this one repeats was served on another replica meanwhile.
    return given?.length === 0 ? await takeOverFor(ask) : given;
  }

  return {
    async lease(request) {
      if (stop.signal.aborted || request.signal.aborted) return [];
      const jobIds = request.jobIds.filter(isUuid);
      if (jobIds.length === 0 && request.jobIds.length > 0) return [];
      const asked = { ...request, jobIds };
      const leases = asked.requestId === "" ? wait({ ...asked, ticket: 0 }) : leaseUnderTicket(asked);
      return (await leases) ?? [];
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
