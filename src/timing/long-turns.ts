import { createLine } from "./line.ts";

/** Resolves when a turn has come; what it resolves with is to be called in the same turn of the event loop. */
export type TakeTurn = (organizationId: number | undefined) => Promise<() => void>;

/**
 * Keeps long work from holding the event loop: one turn of it at a time, and then all else has as much time as that
 * took. Organizations take turns, however much each of them has waiting.
 */
export function createLongTurns(): TakeTurn {
  const line = createLine({ atOnce: 1, inTurn: 1, pauseMs: 250, waiting: Infinity });
  return (organizationId) =>
    new Promise((resolve) =>
      line.enter({ group: String(organizationId), key: line, mostWaiting: Infinity }, (settled) =>
        // What is made of it at once is part of its turn.
        resolve(() => void setImmediate(settled)),
      ),
    );
}
