import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../vitals/clock.ts";

/*
 * When hours begin, or a retry comes due, is known before. So contacts are looked for and reserved a little before they
 * may be leased, and when the time comes they only need be leased. Postgres judges whether it has come: nothing is
 * leased early, whatever this replica's clock says.
 */

/** A time at which there will be contacts to lease, and whether they were looked for before. */
export type Opening = { readonly atMs: number; isLookedFor: boolean };

/** About as long as looking and reserving takes. What can be leased already waits with them. */
export const aheadMs = 5;

/** Timers go off late by up to about this. */
const timerSlackMs = 1;

const leftUntil = (atMs: number): number => atMs - performance.now();

export function createAhead(clock: Clock) {
  return {
    /** Those that are still to come. */
    leftOf: (openings: readonly Opening[]): readonly Opening[] =>
      openings.filter(({ atMs }) => atMs > clock.now()),

    /** The time for which contacts are looked for now, once for each; undefined if none comes that soon. */
    lookFor(opening: Opening | undefined): Date | undefined {
      if (opening === undefined || opening.isLookedFor) return undefined;
      const toOpening = opening.atMs - clock.now();
      if (toOpening <= 0 || toOpening > aheadMs) return undefined;
      opening.isLookedFor = true;
      // Instants are cut to milliseconds.
      return new Date(opening.atMs + 1);
    },

    /** Waits for the time that contacts were looked for, no longer than that was before. */
    async waitOut(opening: Opening | undefined): Promise<void> {
      if (opening?.isLookedFor !== true) return;
      const until = performance.now() + Math.min(opening.atMs - clock.now(), aheadMs);
      const pauseMs = leftUntil(until) - timerSlackMs;
      if (pauseMs > 0) await delay(pauseMs);
      while (leftUntil(until) > 0) await nextTurn();
    },
  };
}
