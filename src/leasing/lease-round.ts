import { randomUUID } from "node:crypto";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { shareOut } from "../domain/shares.ts";
import type { Database } from "../postgres/database.ts";
import {
  type Candidate,
  type Lease,
  type Opening,
  findCandidates,
  findDueRetries,
  lockJobs,
  lockOrganization,
  openAttempts,
} from "../postgres/leases.ts";
import type { Reservations } from "../redis/reservations.ts";

/** What one caller of LeaseContacts wants. */
export type Demand = {
  readonly workerId: string;
  readonly requestId: string;
  readonly maxContacts: number;
  readonly durationMs: number;
};

export type Round = {
  /** The leases for each demand, in its place. */
  readonly leases: Lease[][];
  /** The last job that had its turn: the next round goes on after it. */
  readonly after: string;
  /** True if every job that may have something was looked at. */
  readonly isWhole: boolean;
  /** True if a list had numbers that were not open: there may be open ones behind them. */
  readonly isStale: boolean;
};

export type LeaseRound = (
  organizationId: string,
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
  db: Database;
  reservations: Reservations;
  clock: Clock;
  logger: Logger;
}): LeaseRound {
  const { db, reservations, clock, logger } = deps;

  /** Takes each job's share: retries as Postgres has them, the rest from its list. */
  async function take(
    organizationId: string,
    candidates: readonly Candidate[],
    wanted: number,
  ): Promise<Taken[]> {
    const most = candidates.map(({ free, due, pending }) => Math.min(free, due + pending));
    const shares = shareOut(wanted, most);
    const chosen = candidates.flatMap((candidate, i) => {
      const share = shares[i] ?? 0;
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
    const listed = new Map(asked.map(({ candidate }, i) => [candidate.id, numbers[i] ?? []]));
    return chosen.map(({ candidate, due }) => ({ candidate, due, numbers: listed.get(candidate.id) ?? [] }));
  }

  return async function leaseRound(organizationId, demands, onlyJobIds, afterJobId) {
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
      return { leases, after: afterJobId, isWhole: true, isStale: false };

    let after = afterJobId;
    let taken: Taken[] = [];
    // Jobs that should have contacts, and have none on their lists yet, pass their turn on.
    for (let rest = candidates; taken.length === 0 && rest.length > 0;) {
      const asked = await take(organizationId, rest, wanted);
      const last = asked.at(-1)?.candidate ?? rest.at(-1);
      rest = last === undefined ? [] : rest.slice(rest.indexOf(last) + 1);
      after = last?.id ?? after;
      taken = asked.filter(({ due, numbers }) => due + numbers.length > 0);
    }
    if (taken.length === 0) return { leases, after, isWhole, isStale: false };

    // Each opening is made for a demand before it is known whether its contact is open.
    const slots: { demand: Demand; place: number }[] = [];
    for (const [place, demand] of demands.entries()) {
      const count = Math.min(demand.maxContacts, wanted - slots.length);
      for (let i = 0; i < count; i += 1) slots.push({ demand, place });
    }
    const slotOf = new Map<string, { place: number; expiresAt: Date }>();
    const tried = new Map<string, Set<number>>();

    const opened = await db.transaction().execute(async (trx) => {
      const organization = await lockOrganization(trx, organizationId);
      const jobs = await lockJobs(
        trx,
        organizationId,
        taken.map(({ candidate }) => candidate.id),
      );
      const roomOf = (id: string): number => {
        const job = jobs.get(id);
        return job?.status === "running" ? job.concurrent_call_limit - job.dialing_contacts : 0;
      };
      const retries = await findDueRetries(
        trx,
        new Map(
          taken.map(({ candidate, due }) => [candidate.id, Math.max(0, Math.min(due, roomOf(candidate.id)))]),
        ),
      );
      const openings: Opening[] = [];
      let free = Math.min(organization.free, slots.length);
      for (const { candidate, numbers } of taken) {
        const due = retries.filter(({ jobId }) => jobId === candidate.id).map(({ number }) => number);
        const room = Math.max(0, Math.min(roomOf(candidate.id), free));
        const chosen = [...new Set([...due, ...numbers])].slice(0, room);
        free -= chosen.length;
        tried.set(candidate.id, new Set(chosen));
        for (const number of chosen) {
          const slot = slots[openings.length];
          if (slot === undefined) break;
          const leaseId = randomUUID();
          const { workerId, requestId, durationMs } = slot.demand;
          const expiresAt = new Date(organization.now.getTime() + durationMs);
          slotOf.set(leaseId, { place: slot.place, expiresAt });
          openings.push({ jobId: candidate.id, number, leaseId, workerId, requestId, expiresAt });
        }
      }
      const rows = await openAttempts(trx, organizationId, organization.now, openings);
      return rows.map((row): Lease => {
        const job = jobs.get(row.jobId);
        return {
          ...row,
          expiresAt: slotOf.get(row.leaseId)?.expiresAt ?? organization.now,
          fromPhoneNumberId: job?.from_phone_number_id ?? "",
          maxAttempts: job?.max_attempts ?? 0,
        };
      });
    });

    // What was tried is leased now, or was not open; the rest goes back to where it was.
    await Promise.all(
      taken.map(({ candidate: { id }, numbers }) =>
        reservations.settle(
          { id, organizationId },
          {
            back: numbers.filter((number) => !tried.get(id)?.has(number)),
            done: numbers.filter((number) => tried.get(id)?.has(number)),
          },
        ),
      ),
    ).catch((error: unknown) => logger.warn({ err: error }, "reservations are left to run out"));

    for (const lease of opened) leases[slotOf.get(lease.leaseId)?.place ?? 0]?.push(lease);
    const triedCount = [...tried.values()].reduce((sum, numbers) => sum + numbers.size, 0);
    return { leases, after, isWhole, isStale: opened.length < triedCount };
  };
}
