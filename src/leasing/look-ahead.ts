import { createRecent } from "../timing/recent.ts";

/** What became of what a job offered in a round. */
type Seen = {
  readonly offered: number;
  /** So many contacts ended because their phone is suppressed. */
  readonly suppressed: number;
  /** So many are open, and had no room. */
  readonly left: number;
};

/** A round looks at no more contacts than this beyond those that there is room for. */
const mostAhead = 1_000;
const leastAhead = 16;

const mostOrganizations = 1_000;
const mostJobs = 100;

/**
 * How far beyond the room there is the next round looks at a job's contacts. That is nowhere, unless its last contacts
 * were suppressed and none behind them was open: then twice as far each time, so that a job of which a million are
 * suppressed gets to the next open one in a thousand rounds, however little room it has.
 */
export function createLookAhead() {
  const known = createRecent<number, ReturnType<typeof createRecent<string, number>>>(mostOrganizations);

  return {
    /** By job; at most `mostAhead` together. */
    of(organizationId: number): ReadonlyMap<string, number> {
      const jobs = [...(known.get(organizationId)?.entries() ?? [])];
      return new Map(jobs.map(([id, ahead]) => [id, Math.min(ahead, Math.ceil(mostAhead / jobs.length))]));
    },

    note(organizationId: number, jobId: string, { offered, suppressed, left }: Seen): void {
      const jobs = known.get(organizationId) ?? createRecent<string, number>(mostJobs);
      if (suppressed > 0 && left === 0) {
        jobs.set(jobId, Math.min(mostAhead, Math.max(leastAhead, 2 * offered)));
        known.set(organizationId, jobs);
      } else if (jobs.delete(jobId) && jobs.size === 0) known.delete(organizationId);
    },
  };
}
