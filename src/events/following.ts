import type { Logger } from "pino";
import { largestListBytes } from "../domain/answer-size.ts";
import { BatchJobError } from "../domain/batch-job-error.ts";
import type { Caller } from "../domain/caller.ts";
import type { LoggedEvent } from "../domain/event.ts";
import type { Database } from "../postgres/connections/database.ts";
import { type EventFilter, type Head, noHead, readEvents, readHeads } from "../postgres/events/events.ts";
import { type Alarm, createAlarm } from "../timing/alarm.ts";
import { startServiceLoop } from "../vitals/loops.ts";
import { type EventQuery, boundsOf, checkCursor, readFilter } from "./event-log.ts";

/** Events in their order, and how far the log was looked at. Without events it is a sign of life. */
export type Told = {
  readonly events: readonly LoggedEvent[];
  readonly lastSequence: number;
  readonly headSequence: number;
};

export type Following = AsyncDisposable & {
  /** What comes after a place in the log: first what is there, then what comes; every 15 s at least where it ends. */
  follow(caller: Caller, query: EventQuery, signal: AbortSignal): AsyncIterable<Told>;
  /** Ends all streams with this error. */
  fail(error: unknown): void;
};

type Reader = { readonly alarm: Alarm; failure: { readonly error: unknown } | undefined };

/** The end of an organization's log, as those who follow it share it: all that comes after `from`, up to `to`. */
type Tail = { from: number; to: number; head: Head; events: LoggedEvent[]; readonly readers: Set<Reader> };

const pollMs = 100;
const usualSignOfLifeMs = 15_000;

/** What a message holds at most, and what is kept of a tail. Who is further behind reads by itself. */
const mostInMessage = 500;
const mostInTail = { events: 2_000, bytes: 2 * largestListBytes };

/** So many pages of a log are read for its tail before others have their turn. */
const mostPages = 4;
const pageSize = 1_000;

/** What the streams of one organization may be on one replica. */
const mostStreams = 100;

/** How many of the first of these are together not more than that. */
function upTo(events: readonly LoggedEvent[], most: { events: number; bytes: number }): number {
  let left = most.bytes;
  const surplus = events.findIndex(({ bytes }, i) => i >= most.events || (left -= bytes) < 0);
  return surplus === -1 ? events.length : surplus;
}

const everything: EventFilter = { types: [], batchJobIds: [] };

const tooManyStreams = () =>
  new BatchJobError(
    "limit_exceeded",
    `On this replica an organization has at most ${mostStreams} streams of events; end some first.`,
    { limit: String(mostStreams) },
  );

function isAsked({ types, batchJobIds }: EventFilter): (event: LoggedEvent) => boolean {
  const [wantedTypes, wantedIds] = [new Set<string>(types), new Set(batchJobIds)];
  return ({ type, batchJobId }) =>
    (wantedTypes.size === 0 || wantedTypes.has(type)) &&
    (wantedIds.size === 0 || (batchJobId !== null && wantedIds.has(batchJobId)));
}

/**
 * Follows logs by looking, with one query for the heads of all that somebody follows on this replica, and one for what
 * has come to a log, whoever follows it. A reader has a place in the log and nothing else: one that is slow holds up
 * nobody, and costs no memory.
 */
export function createFollowing(deps: {
  db: Database;
  logger: Logger;
  /** The work, or an error at once while it cannot succeed. */
  guard?: <T>(work: () => Promise<T>) => Promise<T>;
  /** For so long a stream is silent at most; 15 s if not given. */
  signOfLifeMs?: number;
}): Following {
  const { db, logger, guard = (work) => work(), signOfLifeMs = usualSignOfLifeMs } = deps;
  const tails = new Map<number, Tail>();
  const poke = createAlarm();

  /** Reads what has come to a log since; answers whether there is more. */
  async function extend(organizationId: number, tail: Tail): Promise<boolean> {
    for (let pages = 0; tail.to < tail.head.sequence; pages += 1) {
      if (pages === mostPages) return true;
      const bounds = { size: pageSize, mostLookedAt: pageSize };
      const page = await readEvents(db, organizationId, tail.to, everything, bounds);
      tail.events.push(...page.events);
      Object.assign(tail, { to: page.lastSequence, head: page.head });
      const surplus = tail.events.length - upTo(tail.events.toReversed(), mostInTail);
      if (surplus > 0) tail.from = tail.events.splice(0, surplus).at(-1)?.sequence ?? tail.from;
      for (const { alarm } of tail.readers) alarm.ring();
    }
    return false;
  }

  const polling = startServiceLoop("the following of logs", {
    async pass() {
      if (tails.size === 0) return Infinity;
      let isMore = false;
      for (const [organizationId, head] of await readHeads(db, [...tails.keys()])) {
        const tail = tails.get(organizationId);
        if (tail === undefined) continue;
        tail.head = head;
        if (await extend(organizationId, tail)) isMore = true;
      }
      return isMore ? 0 : pollMs;
    },
    alarm: poke,
    retryMs: pollMs,
    logger,
  });

  /** The tail of a log, from its end on if nobody follows it yet. */
  function join(organizationId: number, head: Head, reader: Reader): Tail {
    const { sequence } = head;
    const tail = tails.get(organizationId) ?? {
      from: sequence,
      to: sequence,
      head,
      events: [],
      readers: new Set(),
    };
    tails.set(organizationId, tail);
    tail.readers.add(reader);
    poke.ring();
    return tail;
  }

  function leave(organizationId: number, reader: Reader): void {
    const tail = tails.get(organizationId);
    tail?.readers.delete(reader);
    if (tail?.readers.size === 0) tails.delete(organizationId);
  }

  return {
    async *follow(caller, query, signal) {
      const { organizationId } = caller;
      const filter = readFilter(caller, query);
      const wanted = isAsked(filter);
      if ((tails.get(organizationId)?.readers.size ?? 0) >= mostStreams) throw tooManyStreams();
      const reader: Reader = { alarm: createAlarm(), failure: undefined };
      const ended = () => fail(reader, signal.reason);
      signal.addEventListener("abort", ended);
      if (signal.aborted) ended();
      const check = () => {
        if (reader.failure !== undefined) throw reader.failure.error;
      };
      try {
        const heads = await guard(() => readHeads(db, [organizationId]));
        const head = heads.get(organizationId) ?? noHead;
        checkCursor(query.afterSequence, head);
        const tail = join(organizationId, head, reader);
        let place = Math.max(query.afterSequence, head.firstSequence - 1);
        for (let sentMs = -Infinity; ;) {
          check();
          const seen = await next(place, tail);
          if (seen.events.length > 0 || performance.now() - sentMs >= signOfLifeMs) {
            place = seen.lastSequence;
            yield { ...seen, headSequence: Math.max(tail.head.sequence, seen.lastSequence) };
            sentMs = performance.now();
          } else if (seen.lastSequence > place) {
            place = seen.lastSequence;
          } else {
            await reader.alarm.sleep(Math.max(1, sentMs + signOfLifeMs - performance.now()));
          }
        }
      } finally {
        signal.removeEventListener("abort", ended);
        leave(organizationId, reader);
      }

      /** The next of what is asked for, from what is shared, or from Postgres where that begins later. */
      async function next(place: number, tail: Tail): Promise<Omit<Told, "headSequence">> {
        if (place < tail.from) {
          const bounds = boundsOf(filter, mostInMessage);
          const page = await guard(() => readEvents(db, organizationId, place, filter, bounds));
          checkCursor(place, page.head);
          return page;
        }
        // A reader may know more of the log than what is shared, from another replica.
        const to = Math.max(place, tail.to);
        const events = tail.events.filter((event) => event.sequence > place && wanted(event));
        const some = events.slice(
          0,
          Math.max(1, upTo(events, { events: mostInMessage, bytes: largestListBytes })),
        );
        return {
          events: some,
          lastSequence: some.length === events.length ? to : (some.at(-1)?.sequence ?? to),
        };
      }
    },
    fail(error) {
      for (const { readers } of tails.values()) for (const reader of readers) fail(reader, error);
    },
    [Symbol.asyncDispose]: () => polling[Symbol.asyncDispose](),
  };
}

function fail(reader: Reader, error: unknown): void {
  reader.failure ??= { error };
  reader.alarm.ring();
}
