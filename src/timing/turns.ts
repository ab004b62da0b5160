import { createSeats, inSeat } from "./seats.ts";

/** Lets so many pieces of work be done at once; the others wait, in the order in which they came. */
export function createTurns(atOnce: number) {
  const seats = createSeats<object>(({ all }) => all < atOnce);
  return <T>(work: () => Promise<T>): Promise<T> => inSeat(seats.take({}), work);
}

/** Does the pieces of work of each key one after the other. */
export function createTurnsByKey<K>() {
  type Turns = { readonly inTurn: ReturnType<typeof createTurns>; inHand: number };
  const byKey = new Map<K, Turns>();
  return async function inTurnOf<T>(key: K, work: () => Promise<T>): Promise<T> {
    const turns = byKey.get(key) ?? { inTurn: createTurns(1), inHand: 0 };
    byKey.set(key, turns);
    turns.inHand += 1;
    try {
      return await turns.inTurn(work);
    } finally {
      turns.inHand -= 1;
      if (turns.inHand === 0) byKey.delete(key);
    }
  };
}
