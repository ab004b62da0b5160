import type { Logger } from "pino";
import type { Clock } from "../vitals/clock.ts";
import { writeLeaseId } from "../domain/lease-id.ts";
import { shareOut } from "../domain/shares.ts";
import type { Shares } from "../postgres/connections.ts";
import { type Candidate, findCandidates } from "../postgres/candidates.ts";
import { type StoredLease, openLeases } from "../postgres/leases.ts";
import type { Reservations } from "../redis/reservations.ts";
import type { SettingsOf } from "./job-settings.ts";

/** What one caller of LeaseContacts wants. */
export type Demand = {
  readonly workerId: string;
  readonly requestId: string;
  /** Drawn for this call, so that the later of two calls with its request id is known; 0 without a request id. */
  readonly ticket: number;
  readonly maxContacts: number;
  readonly durationMs: number;
};

/** A lease, with what its worker needs of its job. */
export type Lease = StoredLease & { leaseId: string; fromPhoneNumberId: string; maxAttempts: number };

export type Round = {
  /** The leases for each demand, in its place. */
  readonly leases: Lease[][];
  /** The places of the demands whose request id has live leases of other calls. They get no others. */
  readonly repeated: readonly number[];
  /** The last job that had its turn: the next round goes on after it. */
  readonly after: string;
  /** True if every job that may have something was looked at. */
  readonly isWhole: boolean;
  /** True if a list had numbers that were not open: there may be open ones behind them. */
  readonly isStale: boolean;
};

export type LeaseRound = (
  organizationId: number,
  demands: readonly Demand[],
  onlyJobIds: readonly string[],
  afterJobId: string,
) => Promise<Round>;

/** Bounds a round, and with it how long it holds the organization's lock. */
const mostJobs = 32;
const mostContacts = 1_000;

type Taken = { candidate: Candidate; due: number; numbers: number[] };

/**
 * Leases contacts to some callers, from the next jobs of their organization. Retries that are due come first, then the
 * list. What Redis gives is only proposed: the transaction opens what is open, as far as both limits allow.
 */
export function createLeaseRound(deps: {
  shares: Shares;
  settingsOf: SettingsOf;
  reservations: Reservations;
  clock: Clock;
  logger: Logger;
}): LeaseRound {
  const { shares, settingsOf, reservations, clock, logger } = deps;

  /** Takes each job's share: retries as Postgres has them, the rest from its list. */
  async function take(
    organizationId: number,
    candidates: readonly Candidate[],
    wanted: number,
  ): Promise<Taken[]> {
    const most = candidates.map(({ free, due, pending }) => Math.min(free, due + pending));
    const parts = shareOut(wanted, most);
    const chosen = candidates.flatMap((candidate, i) => {
      const share = parts[i] ?? 0;
      const due = Math.min(candidate.due, share);
      return share === 0 ? [] : [{ candidate, due, fromList: Math.min(share - due, candidate.pending) }];
    });
    const asked = chosen.filter(({ fromList }) => fromList > 0);
    const numbers = await reservations
      .take(
        asked.map(({ candidate, fromList }) => ({
          job: { id: candidate.id, organizationId },
          count: fromList,
        })),
        clock.now(),
      )
      .catch((error: unknown) => {
        logger.warn({ err: error }, "no contacts from the lists while Redis fails");
        return [];
      });
    const listed = new Map(asked.map(({ candidate }, i) => [candidate.id, [...new Set(numbers[i])]]));
    return chosen.map(({ candidate, due }) => ({ candidate, due, numbers: listed.get(candidate.id) ?? [] }));
  }

  return async function leaseRound(organizationId, demands, onlyJobIds, afterJobId) {
    const db = shares.of(organizationId);
    const { organizationFree, candidates } = await findCandidates(
      db,
      organizationId,
      afterJobId,
      onlyJobIds,
      mostJobs,
    );
    const wanted = Math.min(
      organizationFree,
      mostContacts,
      demands.reduce((sum, demand) => sum + demand.maxContacts, 0),
    );
    const leases = demands.map((): Lease[] => []);
    const isWhole = candidates.length < mostJobs;
    if (candidates.length === 0 || wanted <= 0)
      return { leases, repeated: [], after: afterJobId, isWhole: true, isStale: false };

    let after = afterJobId;
    let taken: Taken[] = [];
    // Jobs that should have contacts, and have none on their lists yet, pass their turn on.
    for (let others = candidates; taken.length === 0 && others.length > 0;) {
      const asked = await take(organizationId, others, wanted);
      const last = asked.at(-1)?.candidate ?? others.at(-1);
      others = last === undefined ? [] : others.slice(others.indexOf(last) + 1);
      after = last?.id ?? after;
      taken = asked.filter(({ due, numbers }) => due + numbers.length > 0);
    }
    if (taken.length === 0) return { leases, repeated: [], after, isWhole, isStale: false };

    // What is committed below is not lost because of what could not be read afterwards.
    const settings = await settingsOf(
      organizationId,
      taken.map(({ candidate }) => candidate.id),
    );
    let rest = wanted;
    const takers = demands.map(({ maxContacts, ...taker }) => {
      const most = Math.min(maxContacts, rest);
      rest -= most;
      return { ...taker, most };
    });
    const offers = taken.map(({ candidate, due, numbers }) => ({ jobId: candidate.id, due, numbers }));
    const { leases: opened, left, repeated } = await openLeases(db, organizationId, offers, takers);

    // What had no room goes back to where it was; the rest is leased now, or was not open.
    await Promise.all(
      taken.map(({ candidate: { id }, numbers }, i) => {
        const back = new Set(left[i]);
        return reservations.settle(
          { id, organizationId },
          { back: [...back], done: numbers.filter((number) => !back.has(number)) },
        );
      }),
    ).catch((error: unknown) => logger.warn({ err: error }, "reservations are left to run out"));

    const listed = taken.reduce((sum, { numbers }) => sum + numbers.length, 0);
    const open = opened.flat().filter(({ attempt }) => attempt === 1).length + left.flat().length;
    return {
      leases: opened.map((some) =>
        some.map((lease) => {
          const { fromPhoneNumberId = "", maxAttempts = 0 } = settings.get(lease.jobId) ?? {};
          return { ...lease, leaseId: writeLeaseId(lease), fromPhoneNumberId, maxAttempts };
        }),
      ),
      repeated,
      after,
      isWhole,
      isStale: open < listed,
    };
  };
}
