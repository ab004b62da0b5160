import type { Metrics } from "../../vitals/metrics.ts";
import { type GiveUp, createSeats, inSeat } from "../../timing/seats.ts";

/** So many may be held at once, and fewer of one organization. */
type Slots = { readonly atOnce: number; readonly perOrganization: number };

/**
 * Slots to take and to give back. An organization gets its second one only while another stays free: so that others
 * find one.
 */
export function createSlotTaking({ atOnce, perOrganization }: Slots) {
  const seats = createSeats<number>(
    ({ own, all }) => all + (own === 0 ? 0 : 1) < atOnce && own < perOrganization,
  );
  return (organizationId: number, giveUp?: GiveUp): Promise<() => void> => seats.take(organizationId, giveUp);
}

/** Does the work, which takes a file of the organization, in its turn. */
export type InTurn = <T>(organizationId: number, work: () => Promise<T>) => Promise<T>;

/** The same, and tells how many files are in hand or wait, and how long each takes that comes to its end. */
export function toldInTurn(inTurn: InTurn, metrics: Metrics): InTurn {
  async function timed<T>(work: () => Promise<T>): Promise<T> {
    const end = metrics.importSeconds.startTimer();
    const result = await work();
    end();
    return result;
  }
  return async function toldTurn(organizationId, work) {
    metrics.importsInHand.inc();
    try {
      return await inTurn(organizationId, () => timed(work));
    } finally {
      metrics.importsInHand.dec();
    }
  };
}

/** Lets so many files be taken at once. */
export function createSlots(slots: Slots): InTurn {
  const take = createSlotTaking(slots);
  return <T>(organizationId: number, work: () => Promise<T>): Promise<T> =>
    inSeat(take(organizationId), work);
}
