import { createLine } from "../../timing/line.ts";

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

/**
 * One large message at a time is looked through or decoded, and then all else has as much time as that took.
 * Organizations take turns, however many messages each of them has sent; all of them together are bounded by their
 * bytes.
 */
export function createLargeTurns(): LargeTurns {
  const line = createLine({ atOnce: 1, inTurn: 1, pauseMs: 250, waiting: Infinity });
  return {
    take(bytes, organizationId) {
      if (bytes <= smallBytes) return Promise.resolve(() => {});
      return new Promise((resolve) =>
        line.enter({ group: String(organizationId), key: line, mostWaiting: Infinity }, (settled) =>
          // What is made of it at once is part of its turn.
          resolve(() => void setImmediate(settled)),
        ),
      );
    },
  };
}
