import { setImmediate as nextTurn } from "node:timers/promises";
import type { Logger } from "pino";
import type { Caller } from "../domain/caller.ts";
import type { Clock } from "../vitals/clock.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { isUuid } from "../domain/jobs/job-id.ts";
import { readLeaseId, writeLeaseId } from "../domain/contacts/lease-id.ts";
import {
  type CheckedLease,
  checkLeases,
  drawTicket,
  extendLeases,
  takeOverLeases,
} from "../postgres/leasing/leases.ts";
import { type BegunJob, isWhollyOpen } from "./begun.ts";
import { createDesks } from "./desk.ts";
import type { Lease, LeaseRound } from "./lease-round.ts";
import type { Recorder, Report, Reported } from "./recorder.ts";
import type { Ask } from "./waiter.ts";

export type LeaseRequest = Omit<Ask, "ticket">;

export type Leasing = AsyncDisposable & {
  /**
   * Leases contacts, or waits for the first one that can be leased; none if there is none in time. A repeat of a call
   * that its caller has given up takes over the live leases of that call, as new leases; whatever that call does with
   * its own is done to leases that are not there any more.
   */
  lease(request: LeaseRequest): Promise<readonly Lease[]>;
  /**
   * Records outcomes, in one transaction with what else the organization reports and leases at the same time. With
   * `next` that leases what has become free, too, as `lease` does, but waits for nothing: no report fails, or is late,
   * because there is nothing to lease. Where its organization `isLimited` it leases nothing, but takes over what an
   * earlier call with its request id has leased, which nobody has else.
   */
  report(
    caller: Caller,
    reports: readonly Report[],
    next?: Omit<LeaseRequest, "caller" | "waitMs"> & { readonly isLimited?: boolean },
  ): Promise<{ results: Reported[]; leases: readonly Lease[] }>;
  /** Puts off the end of live leases; answers the new end of each, undefined for one that is not live. */
  extend(caller: Caller, leaseIds: readonly string[], durationMs: number): Promise<(Date | undefined)[]>;
  /** Until when each lease lasts, and whether it may be called still; undefined for one that is not live. */
  check(caller: Caller, leaseIds: readonly string[]): Promise<(CheckedLease | undefined)[]>;
  /** Ends all calls that wait, with this error. What is leased for them later is released. */
  fail(error: unknown): void;
  /** Says that an organization may have contacts to give. */
  ring(organizationId: number): void;
  /** Offers jobs that have just begun to run to those who wait on this replica. */
  offer(jobs: readonly BegunJob[]): void;
};

/** What a lost wake-up costs at most. */
const usualSleepMs = 1_000;

/**
 * Whether the caller has left by now. The end of a connection is read a round of the event loop after what came just
 * before it, so that two are waited for.
 */
async function hasGone({ signal }: Pick<LeaseRequest, "signal">): Promise<boolean> {
  await nextTurn();
  await nextTurn();
  return signal.aborted;
}

/** The request with those of its jobs that can be there; undefined if none can. */
function withKnownJobs(request: LeaseRequest): LeaseRequest | undefined {
  const jobIds = request.jobIds.filter(isUuid);
  return jobIds.length === 0 && request.jobIds.length > 0 ? undefined : { ...request, jobIds };
}

export function createLeasing(deps: {
  shares: Shares;
  round: LeaseRound;
  recorder: Recorder;
  clock: Clock;
  logger: Logger;
  /** Hears of each call that asks for contacts. */
  onAsk?: (request: LeaseRequest) => void;
  longestSleepMs?: number;
  reservingMs?: number;
}): Leasing {
  const { shares, recorder, logger, onAsk = () => {} } = deps;
  const desks = createDesks({ longestSleepMs: usualSleepMs, ...deps, takeOver });
  const stop = new AbortController();
  /** The calls under each request id that draw their tickets, in the order in which they came. */
  const drawing = new Map<string, Set<LeaseRequest>>();
  /** Those of them that a later one has repeated. */
  const repeated = new WeakSet<LeaseRequest>();

  /**
   * Takes over what other calls have leased under the request id; undefined if a later call has it. What does not fit
   * into the answer is released.
   */
  async function takeOver({
    maxContacts,
    caller,
    signal,
    ...taker
  }: Ask): Promise<readonly Lease[] | undefined> {
    const { organizationId } = caller;
    const taken = await takeOverLeases(shares.of(organizationId), organizationId, {
      ...taker,
      most: maxContacts,
    });
    if (signal.aborted) recorder.takeBack(organizationId, taken.surplus);
    else recorder.drop(organizationId, taken.surplus);
    return taken.isLate
      ? undefined
      : taken.leases.map((lease) => ({ ...lease, leaseId: writeLeaseId(lease) }));
  }

  /** Takes over for a caller who is there still; undefined if the caller has gone, or has repeated the call. */
  async function takeOverFor(ask: Ask): Promise<readonly Lease[] | undefined> {
    // A replica that stood still hears now of a caller who has given up, and who may have repeated the call elsewhere.
    if (await hasGone(ask)) return undefined;
    const leases = await takeOver(ask);
    if (!ask.signal.aborted) return leases;
    recorder.takeBack(ask.caller.organizationId, leases ?? []);
    return undefined;
  }

  /**
   * Draws the call's ticket; undefined if its caller has gone, or has repeated the call meanwhile, so that its ticket
   * may be the later. A call whose caller has gone repeats nothing, though it came last, over another connection.
   */
  async function drawUnlessRepeated(request: LeaseRequest) {
    const { caller, requestId, signal } = request;
    const { organizationId } = caller;
    const name = `${organizationId} ${requestId}`;
    const calls = drawing.get(name) ?? new Set();
    drawing.set(name, calls.add(request));
    try {
      const drawn = await drawTicket(shares.of(organizationId), organizationId, requestId);
      if (calls.size > 1 ? await hasGone(request) : signal.aborted) return undefined;
      const inOrder = [...calls];
      const place = inOrder.indexOf(request);
      for (const earlier of inOrder.slice(0, place)) repeated.add(earlier);
      const isRepeated = repeated.has(request) || inOrder.slice(place + 1).some((one) => !one.signal.aborted);
      return isRepeated ? undefined : drawn;
    } finally {
      calls.delete(request);
      if (calls.size === 0) drawing.delete(name);
    }
  }

  /**
   * The ticket is drawn by itself, before anything is done under it: a statement that was held up on its way comes
   * with the ticket of its time, and takes nothing from a call that was later. Undefined if a later call is known.
   */
  async function underTicket(request: LeaseRequest): Promise<{ ask: Ask; isRepeat: boolean } | undefined> {
    if (request.requestId === "") return { ask: { ...request, ticket: 0 }, isRepeat: false };
    const drawn = await drawUnlessRepeated(request);
    if (drawn === undefined) return undefined;
    const { ticket, isRepeat } = drawn;
    const ask = { ...request, ticket };
    const older = desks.olderThan(ask);
    // Whoever has left may be the older one, though the ticket is the later.
    if (older.length > 0 && !(await hasGone(ask))) for (const waiter of older) waiter.leave();
    return { ask, isRepeat };
  }

  async function leaseUnderTicket(request: LeaseRequest): Promise<readonly Lease[] | undefined> {
    const drawn = await underTicket(request);
    if (drawn === undefined) return undefined;
    const { ask, isRepeat } = drawn;
    const taken = isRepeat ? await takeOverFor(ask) : [];
    if (taken?.length !== 0) return taken;
    const given = await desks.wait(ask);
    // Perhaps the call that this one repeats was served on another replica meanwhile.
    return given?.length === 0 && ask.requestId !== "" ? await takeOverFor(ask) : given;
  }

  /** What a call with reports is given, if the leases are no reason for it to fail. */
  async function orNothing<T>(leasing: Promise<T>): Promise<T | undefined> {
    try {
      return await leasing;
    } catch (error) {
      logger.warn({ err: error }, "reports are answered without contacts");
      return undefined;
    }
  }

  return {
    async lease(request) {
      if (stop.signal.aborted || request.signal.aborted) return [];
      const asked = withKnownJobs(request);
      if (asked !== undefined) onAsk(asked);
      return (asked && (await leaseUnderTicket(asked))) ?? [];
    },

    async report(caller, reports, next) {
      const { organizationId } = caller;
      const keyed = reports.map(({ leaseId, ...report }) => ({ ...report, key: readLeaseId(leaseId) }));
      const isLimited = next?.isLimited === true;
      const request = next && withKnownJobs({ ...next, caller, waitMs: 0 });
      if (request !== undefined) onAsk(request);
      const drawn = request && (await orNothing(underTicket(request)));
      if (drawn?.isRepeat !== true) {
        return await desks.report(organizationId, keyed, isLimited ? undefined : drawn?.ask);
      }
      const { ask } = drawn;
      const { results } = await desks.report(organizationId, keyed);
      const taken = await orNothing(takeOverFor(ask));
      if (taken?.length !== 0 || isLimited) return { results, leases: taken ?? [] };
      return { results, leases: (await orNothing(desks.wait(ask))) ?? [] };
    },

    extend: (caller, leaseIds, durationMs) =>
      extendLeases(
        shares.of(caller.organizationId),
        caller.organizationId,
        leaseIds.map(readLeaseId),
        durationMs,
      ),
    check: ({ organizationId }, leaseIds) =>
      checkLeases(shares.of(organizationId), organizationId, leaseIds.map(readLeaseId)),
    fail: desks.fail,
    ring: desks.ring,
    offer(jobs) {
      const open = jobs.filter(isWhollyOpen);
      for (const [organizationId, own] of Map.groupBy(open, ({ key }) => key.organizationId)) {
        desks.offer(organizationId, own);
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await desks[Symbol.asyncDispose]();
    },
  };
}
