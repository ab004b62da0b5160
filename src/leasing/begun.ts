import type { JobKey } from "../domain/jobs/job-id.ts";
import type { Demand, Prepared } from "./lease-round.ts";
import { leasesOf, mostContacts, takersOf } from "./lease-round.ts";

/*
 * A job that has just begun to run is offered at once to those who wait on the replica that started it, while its
 * contacts are put on its list: they need not look for it, nor reserve anything. What is leased so is on the list all
 * the same, where it is harmless: Postgres opens no lease twice. What is not leased so is found there.
 */

/** A job that runs since a moment ago: all its contacts are pending. */
export type BegunJob = {
  readonly key: JobKey;
  readonly totalContacts: number;
  /** How many sets of time zones its contacts are in; 0 if they may be called at any time. */
  readonly zoneSets?: number | undefined;
  readonly concurrentCallLimit: number;
  readonly fromPhoneNumberId: string;
  readonly maxAttempts: number;
};

/** True if all of its contacts may be called now: nobody finds on its list what was leased without it. */
export const isWhollyOpen = ({ totalContacts, zoneSets = 0, concurrentCallLimit }: BegunJob): boolean =>
  zoneSets === 0 && totalContacts <= concurrentCallLimit;

/** So many are kept for a desk until its next turn; the others are found on their lists. */
const mostJobs = 1_000;

export type BegunJobs = {
  add(jobs: readonly BegunJob[]): void;
  /**
   * Those that have come, in every other turn at most: in the one between whoever has waited for longer is looked for.
   */
  take(): readonly BegunJob[];
};

export function createBegunJobs(): BegunJobs {
  let waiting: BegunJob[] = [];
  let hadTurn = false;
  return {
    add(jobs) {
      waiting = [...waiting, ...jobs].slice(0, mostJobs);
    },
    take() {
      const taken = hadTurn ? [] : waiting;
      if (!hadTurn) waiting = [];
      hadTurn = taken.length > 0;
      return taken;
    },
  };
}

/** Those of the jobs that callers want who name these; none means all. */
export const wantedOf = (jobs: readonly BegunJob[], onlyJobIds: readonly string[]): readonly BegunJob[] => {
  const only = new Set(onlyJobIds.map((id) => id.toLowerCase()));
  return only.size === 0 ? jobs : jobs.filter(({ key }) => only.has(key.id));
};

/** Offers all contacts of jobs, of as many as there is demand for; there may be others behind them. */
export function offerBegun(
  jobs: readonly BegunJob[],
  demands: readonly Demand[],
  afterJobId: string,
): Prepared {
  const demanded = demands.reduce((sum, { maxContacts }) => sum + maxContacts, 0);
  const wanted = Math.min(mostContacts, demanded);
  let room = wanted;
  const offered = jobs.filter(({ totalContacts }) => {
    const fits = totalContacts <= room;
    if (fits) room -= totalContacts;
    return fits;
  });
  const settings = new Map(offered.map((job) => [job.key.id, job]));
  return {
    offers: offered.map(({ key, totalContacts }) => ({
      jobId: key.id,
      zoneSet: 0,
      zoneSets: 0,
      due: 0,
      numbers: Array.from({ length: totalContacts }, (_, i) => i + 1),
    })),
    takersOf: (asking) => takersOf(asking, wanted),
    after: afterJobId,
    isWhole: false,
    conclude: ({ leases }) => ({ leases: leasesOf(leases, settings), isStale: false }),
    giveBack() {},
  };
}
