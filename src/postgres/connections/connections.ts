import { type Database, openPool, overPool, poolPatienceMs, queryTimeoutOf } from "./database.ts";
import { createRecent } from "../../timing/recent.ts";
import { createTurnsByKey } from "../../timing/turns.ts";
import { type TakeSeat, createPoolSeats, createSharedSeats, takeEach } from "./seats.ts";

/** A pool of which no organization holds more than a share. */
export type Shares = {
  /**
   * The database for what is done in the name of an organization: who has only shares cannot query without saying
   * whose.
   */
  of(organizationId: number): Database;
};

/** Shares of which those who wait for what somebody else has locked leave the most to others. */
export type SharesToWaitIn = Shares & {
  /** Does the pieces of work of an organization that wait so one after the other: one connection waits. */
  inLine<T>(organizationId: number, work: () => Promise<T>): Promise<T>;
};

/** The connections of a replica, so shared out that no caller's call can take those that others need. */
export type Connections = AsyncDisposable & {
  /** For commands, leases and reports. */
  readonly work: SharesToWaitIn;
  /** For reads, which have little time. */
  readonly reads: Shares;
  /**
   * For those reads that may look at much and find little: all of them together leave the other reads the larger half.
   */
  readonly searches: Shares;
  /** For short reads by key, of keys and for many organizations at once: reads leave them one connection. */
  readonly lookUps: Database;
  /** For the starts that are due. */
  readonly starts: Database;
  /** For everything else that goes on by itself: it leaves one connection to the starts. */
  readonly background: Database;
  /** How many connections each pool has, how many of its places are taken, and how many callers wait for one. */
  usage(): { pool: string; open: number; taken: number; waiting: number }[];
};

/** Each pool has at least two. */
export const leastConnections = 6;

/** A sum of connections, shared out. */
export function shareOutConnections(sum: number): { background: number; reads: number; work: number } {
  const each = Math.max(2, Math.floor(sum * 0.3));
  return { background: each, reads: each, work: sum - 2 * each };
}

/** So many of a pool no organization goes beyond. */
const shareOf = (size: number): number => Math.ceil(size / 2);

/**
 * Of what waits for rows that are locked, organizations have no more than this in all beyond a first connection each:
 * when two of them hold as much as they can, one is left to a third.
 */
const beyondFirstOf = (size: number): number => Math.max(0, size - 3);

/** As long as for a lock: nobody else waits for it. */
const sharePatienceMs = 5_000;

const readTimeoutMs = 5_000;

export function openConnections(options: {
  url: string;
  /** At most so many connections; at least `leastConnections`. */
  sum: number;
  /** Called for each deadlock that a statement met. */
  onDeadlock?: () => void;
  /** Called when what commits has not ended after some patience. */
  onSlowCommit: () => void;
  /** Throws while commits are known not to end: none are added to those that hang with their connections. */
  checkCommits: () => void;
  /** Called for each new connection. */
  onConnected?: () => void;
}): Connections {
  const { url, sum, onSlowCommit } = options;
  const sizes = shareOutConnections(sum);

  function open(size: number, keptIdle: number, more: { statementTimeoutMs?: number } = {}) {
    const pool = openPool({ url, size, keptIdle, ...more });
    const seats = createPoolSeats(size);
    let inUse = 0;
    pool.on("acquire", () => (inUse += 1));
    pool.on("release", () => (inUse -= 1));
    pool.on("connect", () => options.onConnected?.());
    return {
      pool,
      usage: () => ({ open: pool.idleCount + inUse, ...seats.usage() }),
      /** A database over the pool, for those who have a seat of each kind first, and then one of the pool. */
      over: (
        takes: readonly TakeSeat[],
        { patienceMs = poolPatienceMs, ...watch }: { patienceMs?: number; onSlowCommit?: () => void } = {},
      ) =>
        overPool(pool, {
          ...(options.onDeadlock === undefined ? {} : { onDeadlock: options.onDeadlock }),
          queryTimeoutMs: queryTimeoutOf(more),
          takeSeat: takeEach([...takes, () => seats.take(patienceMs)]),
          ...watch,
        }),
    };
  }
  const background = open(sizes.background, 2);
  const reads = open(sizes.reads, 1, { statementTimeoutMs: readTimeoutMs });
  const work = open(sizes.work, 1);

  const checkCommits: TakeSeat = async () => {
    options.checkCommits();
    return () => {};
  };
  // What nobody waits for itself waits as long as it takes.
  const unhurried = { onSlowCommit, patienceMs: Infinity };
  const besideStarts = createPoolSeats(sizes.background - 1);
  const besideLookUps = createPoolSeats(sizes.reads - 1);
  const mostSearches = Math.max(1, Math.floor((sizes.reads - 1) / 2));
  const searches = createPoolSeats(mostSearches);
  const shareOfWork = createShares(sizes.work, beyondFirstOf(sizes.work));
  const shareOfReads = createShares(sizes.reads - 1);
  // Those who want to search wait for each other here, and hold nothing that other reads need meanwhile.
  const shareOfSearches = createShares(mostSearches);
  const readingOf = (organizationId: number): TakeSeat[] => [
    () => shareOfReads(organizationId),
    () => besideLookUps.take(poolPatienceMs),
  ];

  return {
    work: {
      of: keptFor((organizationId) =>
        work.over([checkCommits, () => shareOfWork(organizationId)], { onSlowCommit }),
      ),
      inLine: createTurnsByKey(),
    },
    reads: { of: keptFor((organizationId) => reads.over(readingOf(organizationId))) },
    searches: {
      of: keptFor((organizationId) =>
        reads.over([
          () => shareOfSearches(organizationId),
          () => searches.take(sharePatienceMs),
          ...readingOf(organizationId),
        ]),
      ),
    },
    lookUps: reads.over([]),
    starts: background.over([checkCommits], unhurried),
    background: background.over([checkCommits, () => besideStarts.take(Infinity)], unhurried),
    usage: () =>
      Object.entries({ background, reads, work }).map(([pool, { usage }]) => ({ pool, ...usage() })),
    async [Symbol.asyncDispose]() {
      await Promise.all([background, reads, work].map(({ pool }) => pool.end()));
    },
  };
}

/** Less than 1 MB. */
const mostKept = 100;

/** What was made for the last organizations: making it takes longer than sending many a statement. */
function keptFor(make: (organizationId: number) => Database): (organizationId: number) => Database {
  const known = createRecent<number, Database>(mostKept);
  return (organizationId) => {
    const found = known.get(organizationId) ?? make(organizationId);
    known.set(organizationId, found);
    return found;
  };
}

/**
 * Seats of each organization's share of so many connections. What has little time is soon over, and leaves none to a
 * third.
 */
function createShares(size: number, beyondFirst = Infinity): (organizationId: number) => Promise<() => void> {
  const take = createSharedSeats({ mostOfOne: shareOf(size), beyondFirst });
  return (organizationId) => take(organizationId, sharePatienceMs);
}
