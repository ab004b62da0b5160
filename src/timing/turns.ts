import { createSeats, inSeat } from "./seats.ts";

/** Lets so many pieces of work be done at once; the others wait, in the order in which they came. */
export function createTurns(atOnce: number) {
  const seats = createSeats<object>(({ all }) => all < atOnce);
  return <T>(work: () => Promise<T>): Promise<T> => inSeat(seats.take({}), work);
}
