import type { Logger } from "pino";
import type { Clock } from "../vitals/clock.ts";
import { writeLeaseId } from "../domain/contacts/lease-id.ts";
import { shareOut } from "../domain/contacts/shares.ts";
import type { Shares } from "../postgres/connections/connections.ts";
import { type Candidate, findCandidates } from "../postgres/leasing/candidates.ts";
import type { LeaseTaker, Offer, Opened, StoredLease } from "../postgres/leasing/leases.ts";
import type { Reservations } from "../redis/reservations.ts";
import { type Part, type Taken, allot, inTheirPlace, partsOf } from "./lease-parts.ts";
import { createLookAhead } from "./look-ahead.ts";

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

/** What can be leased next, reserved for it. */
export type Prepared = {
  /** What each job gives; none if there is nothing to open. */
  readonly offers: readonly Offer[];
  /** The demands as those who take, none more than there is room for. */
  takersOf(demands: readonly Demand[]): LeaseTaker[];
  /** The last job that had its turn: the next round goes on after it. */
  readonly after: string;
  /** True if every job that may have something was looked at. */
  readonly isWhole: boolean;
  /**
   * Gives back to the lists what had no room, and is done with the rest, which is leased now or was not open. Nobody
   * waits for it. Answers the leases for each demand, in its place.
   */
  conclude(opened: Opened): {
    readonly leases: Lease[][];
    /** True if contacts were not open, or not any more: there may be open ones behind them. */
    readonly isStale: boolean;
  };
  /** Gives back everything, of which nothing was opened. */
  giveBack(): void;
};

export type LeaseRound = AsyncDisposable & {
  /**
   * Reserves contacts for so many callers, from the next jobs of their organization, once so many leases of each job
   * have ended as `ending` says. Retries that are due come first, then the list.
   */
  prepare(
    organizationId: number,
    demands: readonly Demand[],
    choice: {
      readonly onlyJobIds: readonly string[];
      readonly afterJobId: string;
      readonly ending: ReadonlyMap<string, number>;
      /** When they are leased, if that is later than now. */
      readonly asOf?: Date | undefined;
    },
  ): Promise<Prepared>;
};

/** Bounds a round, and with it how long it holds the organization's lock. */
export const mostContacts = 1_000;

/** A round looks at so many jobs, and at more if those have too little: at none that would give it nothing. */
const fewJobs = 32;
const mostJobs = mostContacts;

const givesAtMost = ({ free, due, pending }: Candidate): number => Math.min(free, due + pending);

/** Shares so many contacts out among demands: the first gets all that it asks for. */
export function takersOf(demands: readonly Demand[], wanted: number): LeaseTaker[] {
  let rest = wanted;
  return demands.map(({ workerId, requestId, ticket, durationMs, maxContacts }) => {
    const most = Math.min(maxContacts, rest);
    rest -= most;
    return { workerId, requestId, ticket, durationMs, most };
  });
}

/** Adds to what was leased what its workers need of the jobs. */
export const leasesOf = (
  leases: readonly (readonly StoredLease[])[],
  settings: ReadonlyMap<string, Pick<Lease, "fromPhoneNumberId" | "maxAttempts">>,
): Lease[][] =>
  leases.map((some) =>
    some.map((lease) => {
      const { fromPhoneNumberId = "", maxAttempts = 0 } = settings.get(lease.jobId) ?? {};
      return { ...lease, leaseId: writeLeaseId(lease), fromPhoneNumberId, maxAttempts };
    }),
  );

/** What Redis gives is only proposed: the transaction opens what is open, as far as both limits allow. */
export function createLeaseRound(deps: {
  shares: Shares;
  reservations: Reservations;
  clock: Clock;
  logger: Logger;
}): LeaseRound {
  const { shares, reservations, clock, logger } = deps;
  const settling = new Set<Promise<unknown>>();
  const lookAhead = createLookAhead();

  /** Takes each job's share: retries as Postgres has them, the rest from its list. */
  async function take(
    organizationId: number,
    candidates: readonly Candidate[],
    wanted: number,
  ): Promise<Taken[]> {
    const parts = shareOut(
      wanted,
      candidates.map((candidate) => ({
        most: givesAtMost(candidate),
        has: candidate.dialing,
        weight: candidate.priority,
      })),
    );
    const ahead = lookAhead.of(organizationId);
    const chosen = candidates.flatMap((candidate, i) => {
      const share = parts[i] ?? 0;
      if (share === 0) return [];
      const sets = partsOf(candidate);
      allot(sets, share + (ahead.get(candidate.id) ?? 0));
      return sets;
    });
    const taken = await takeParts(
      organizationId,
      chosen.filter(({ due, fromList }) => due + fromList > 0),
    );
    const others = await takeParts(organizationId, inTheirPlace(chosen, taken));
    return [...taken, ...others];
  }

  async function takeParts(organizationId: number, parts: readonly Part[]): Promise<Taken[]> {
    const asked = parts.filter(({ fromList }) => fromList > 0);
    const numbers = await reservations
      .take(
        asked.map(({ candidate, set, fromList }) => ({
          list: { id: candidate.id, organizationId, zoneSet: set.zoneSet },
          count: fromList,
        })),
        clock.now(),
      )
      .catch((error: unknown) => {
        logger.warn({ err: error }, "no contacts from the lists while Redis fails");
        return [];
      });
    const listed = new Map(asked.map((part, i) => [part, [...new Set(numbers[i])]]));
    return parts.map((part) => {
      const { candidate, set, due, fromList } = part;
      return { candidate, zoneSet: set.zoneSet, due, fromList, numbers: listed.get(part) ?? [] };
    });
  }

  /** What had no room goes back to where it was, before anybody takes more; the rest is done with. */
  function settle(
    organizationId: number,
    taken: readonly Taken[],
    left: readonly (readonly number[])[],
  ): void {
    const settled = Promise.all(
      taken.map(({ candidate: { id }, zoneSet, numbers }, i) => {
        const back = new Set(left[i]);
        return reservations.settle(
          { id, organizationId, zoneSet },
          { back: [...back], done: numbers.filter((number) => !back.has(number)) },
        );
      }),
    )
      .catch((error: unknown) => logger.warn({ err: error }, "reservations are left to run out"))
      .finally(() => settling.delete(settled));
    settling.add(settled);
  }

  return {
    async prepare(organizationId, demands, { onlyJobIds, afterJobId, ending, asOf }) {
      const demanded = demands.reduce((sum, demand) => sum + demand.maxContacts, 0);
      const find = async (limit: number) => {
        const db = shares.of(organizationId);
        const found = await findCandidates(
          db,
          organizationId,
          { afterJobId, onlyJobIds, limit },
          { ending, lookAhead: lookAhead.of(organizationId), asOf },
        );
        const wanted = Math.min(found.organizationFree, mostContacts, demanded);
        return { ...found, wanted, isWhole: wanted <= 0 || found.candidates.length < limit };
      };
      let limit = fewJobs;
      let found = await find(limit);
      while (!found.isWhole && limit < mostJobs) {
        const offered = found.candidates.reduce((sum, candidate) => sum + givesAtMost(candidate), 0);
        if (offered === 0 || offered >= found.wanted) break;
        // Where those have something each, so have those after them, as far as one can tell.
        const expected = Math.ceil((limit * found.wanted) / offered);
        limit = Math.min(mostJobs, Math.max(expected, limit + fewJobs));
        found = await find(limit);
      }
      const { candidates, wanted, isWhole } = found;
      const hasRoom = candidates.length > 0 && wanted > 0;

      let after = afterJobId;
      let taken: Taken[] = [];
      // Jobs that should have contacts, and have none on their lists yet, pass their turn on.
      for (let others = hasRoom ? candidates : []; taken.length === 0 && others.length > 0;) {
        const asked = await take(organizationId, others, wanted);
        const inTurn = new Set(asked.map(({ candidate }) => candidate));
        const last = others.findLast((candidate) => inTurn.has(candidate)) ?? others.at(-1);
        others = last === undefined ? [] : others.slice(others.indexOf(last) + 1);
        after = last?.id ?? after;
        taken = asked.filter(({ due, numbers }) => due + numbers.length > 0);
      }
      const settings = new Map(taken.map(({ candidate }) => [candidate.id, candidate]));

      return {
        offers: taken.map(({ candidate: { id: jobId, zoneSets }, zoneSet, due, numbers }) => ({
          jobId,
          zoneSet,
          zoneSets,
          due,
          numbers,
        })),
        takersOf: (asking) => takersOf(asking, wanted),
        after,
        isWhole,
        conclude({ leases, left, suppressed }) {
          settle(organizationId, taken, left);
          const counts = new Map(suppressed.map(({ offer, count }) => [offer, count]));
          const offered = taken.map(({ candidate, due, numbers }, i) => ({
            id: candidate.id,
            offered: due + numbers.length,
            suppressed: counts.get(i) ?? 0,
            left: left[i]?.length ?? 0,
          }));
          for (const [id, sets] of Map.groupBy(offered, (of) => of.id)) {
            const sum = (key: "offered" | "suppressed" | "left") =>
              sets.reduce((all, of) => all + of[key], 0);
            lookAhead.note(organizationId, id, {
              offered: sum("offered"),
              suppressed: sum("suppressed"),
              left: sum("left"),
            });
          }
          const listed = taken.reduce((sum, { numbers }) => sum + numbers.length, 0);
          const open = leases.flat().filter(({ attempt }) => attempt === 1).length + left.flat().length;
          return {
            leases: leasesOf(leases, settings),
            isStale: open < listed || suppressed.length > 0,
          };
        },
        giveBack() {
          settle(
            organizationId,
            taken,
            taken.map(({ numbers }) => numbers),
          );
        },
      };
    },

    async [Symbol.asyncDispose]() {
      while (settling.size > 0) await Promise.all(settling);
    },
  };
}
