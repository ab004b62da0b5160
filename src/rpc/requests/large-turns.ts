import { createLongTurns } from "../../timing/long-turns.ts";

/** To decode what is no larger takes a moment. */
export const smallBytes = 256 * 1024;

/** Keeps the large requests of a replica from holding its event loop one after the other. */
export type LargeTurns = {
  /**
   * Resolves when a message of so many bytes may be looked through, or decoded, with what is to be called in the same
   * turn of the event loop.
   */
  take(bytes: number, organizationId: number | undefined): Promise<() => void>;
};

/** Large messages are looked through and decoded in turns; all of them together are bounded by their bytes. */
export function createLargeTurns(): LargeTurns {
  const takeTurn = createLongTurns();
  return {
    take: (bytes, organizationId) =>
      bytes <= smallBytes ? Promise.resolve(() => {}) : takeTurn(organizationId),
  };
}
