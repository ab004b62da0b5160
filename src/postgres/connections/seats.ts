import { serviceBusy } from "../../domain/batch-job-error.ts";
import { type GiveUp, afterWaiting, createSeats } from "../../timing/seats.ts";

/** Waits for a seat; resolves with what gives it back. */
export type TakeSeat = () => Promise<() => void>;

/** Takes a seat of each kind, one after the other; if one is refused, those before it are given back. */
export function takeEach(takes: readonly TakeSeat[]): TakeSeat {
  return async () => {
    const taken: (() => void)[] = [];
    const giveBack = () => {
      for (const leave of taken) leave();
    };
    try {
      for (const take of takes) taken.push(await take());
    } catch (error) {
      giveBack();
      throw error;
    }
    return giveBack;
  };
}

/** Those who wait for longer are refused as busy. */
const busyAfter = (patienceMs: number): GiveUp => afterWaiting(patienceMs, serviceBusy);

/** So many seats, whoever comes. */
export function createPoolSeats(most: number) {
  const seats = createSeats<object>(({ all }) => all < most);
  return {
    /** Resolves with what gives the seat back. */
    take: (patienceMs: number) => seats.take({}, busyAfter(patienceMs)),
    usage: () => ({ taken: seats.taken, waiting: seats.waiting }),
  };
}

/**
 * Seats for organizations, of which each has one, and more as long as there are some: none has more than `mostOfOne`,
 * and beyond a first one each they all have no more than `beyondFirst`.
 */
export function createSharedSeats(most: { mostOfOne: number; beyondFirst: number }) {
  const seats = createSeats<number>(
    ({ own, beyondFirst }) => own === 0 || (own < most.mostOfOne && beyondFirst < most.beyondFirst),
  );
  return (organizationId: number, patienceMs: number): Promise<() => void> =>
    seats.take(organizationId, busyAfter(patienceMs));
}
