import { setImmediate as nextTurn, setTimeout as delay } from "node:timers/promises";
import { createRecent } from "../timing/recent.ts";
import type { Clock } from "../vitals/clock.ts";

/*
 * When hours begin, or a retry comes due, is known before. So contacts are looked for and reserved a little before they
 * may be leased, and when the time comes they only need be leased. Postgres judges whether it has come: nothing is
 * leased early, whatever this replica's clock says.
 */

/** A time at which there will be contacts to lease, and whether they were looked for before. */
export type Opening = { readonly atMs: number; isLookedFor: boolean };

/**
 * So long before they are looked for: about as long as a turn of the organization takes, since one that began later
 * would not be over when the time comes. What can be leased already waits with them, and so do reports that come
 * meanwhile; a turn that has reports to record waits no longer than the least.
 */
export const leastAheadMs = 5;
const mostAheadMs = 20;

/** Of the organizations that were served last; about 1 MB. */
const mostUsual = 10_000;

/** Timers go off late by up to about this. */
const timerSlackMs = 1;

const leftUntil = (atMs: number): number => atMs - performance.now();

export type Ahead = ReturnType<typeof createAhead>;

export function createAhead(clock: Clock) {
  /** How long a turn of each organization takes as a rule. */
  const usualMs = createRecent<number, number>(mostUsual);

  return {
    /** A turn that leased took so long, without what it waited for. */
    noteTurn(organizationId: number, tookMs: number): void {
      const usual = usualMs.get(organizationId) ?? 0;
      // A single long one, as when everything stands still, is no rule.
      const part = tookMs > usual ? 0.25 : 0.05;
      usualMs.set(organizationId, usual + (Math.min(tookMs, mostAheadMs) - usual) * part);
    },

    /** How long before contacts of the organization open they are looked for. */
    msOf(organizationId: number): number {
      const turnMs = (usualMs.get(organizationId) ?? 0) + timerSlackMs;
      return Math.min(mostAheadMs, Math.max(leastAheadMs, turnMs));
    },

    /** Those that are still to come. */
    leftOf: (openings: readonly Opening[]): readonly Opening[] =>
      openings.filter(({ atMs }) => atMs > clock.now()),

    /** The time for which contacts are looked for now, once for each; undefined if none comes that soon. */
    lookFor(opening: Opening | undefined, aheadMs: number): Date | undefined {
      if (opening === undefined || opening.isLookedFor) return undefined;
      const toOpening = opening.atMs - clock.now();
      if (toOpening <= 0 || toOpening > aheadMs) return undefined;
      opening.isLookedFor = true;
      // Instants are cut to milliseconds.
      return new Date(opening.atMs + 1);
    },

    /** Waits for the time that contacts were looked for, no longer than that was before; answers for how many ms. */
    async waitOut(opening: Opening | undefined): Promise<number> {
      if (opening?.isLookedFor !== true) return 0;
      const beganMs = performance.now();
      const until = beganMs + Math.min(opening.atMs - clock.now(), mostAheadMs);
      const pauseMs = leftUntil(until) - timerSlackMs;
      if (pauseMs > 0) await delay(pauseMs);
      while (leftUntil(until) > 0) await nextTurn();
      return performance.now() - beganMs;
    },
  };
}
