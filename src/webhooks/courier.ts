import { testType } from "../domain/webhook.ts";
import { boundsOf } from "../events/event-log.ts";
import type { Database } from "../postgres/connections/database.ts";
import { readEvents, telling } from "../postgres/events/events.ts";
import { type Parcel, dueDeliveries } from "../postgres/events/webhook-deliveries.ts";
import type { EndpointKey } from "../postgres/events/webhook-endpoints.ts";
import { type EndpointConfig, type HeldEndpoint, skipMissed } from "../postgres/events/webhook-holders.ts";
import type { Seats } from "../timing/seats.ts";
import type { Metrics } from "../vitals/metrics.ts";
import type { OpenSpan, Traces } from "../vitals/traces.ts";
import { type WriteEvent, toParcels } from "./parcels.ts";
import type { Sender, Sent } from "./sending.ts";
import { type Ended, settle } from "./settling.ts";

/** A part of the log that is being sent: what comes, or what is replayed. */
type Track = {
  /** Of the replay; 0 for what comes. */
  readonly replay: number;
  /** So far it was read. */
  taken: number;
  readonly to: number;
  /** What was read and is not settled. */
  readonly open: Set<Going>;
};

/** Something that is to be sent, or on its way. */
type Going = {
  readonly parcel: Parcel;
  readonly attemptsBefore: number;
  readonly isKept: boolean;
  /** Undefined for what is sent again. */
  readonly track: Track | undefined;
};

type Arrived = Ended & { readonly going: Going };

/** Delivers to one endpoint, for as long as this replica holds it. */
export type Courier = {
  readonly revision: number;
  readonly isAbandoned: boolean;
  /** Hears how the endpoint is now, as it was read at `readMs`, and goes on. */
  hear(held: HeldEndpoint, readMs: number, config: EndpointConfig | undefined): void;
  /** Forgets everything: another replica may hold the endpoint. */
  abandon(): void;
  /** Begins nothing more, and keeps what came of what is on its way; what takes longer than that is given up. */
  finish(patienceMs: number): Promise<void>;
};

export type CourierDeps = {
  readonly db: Database;
  readonly holder: string;
  readonly sender: Pick<Sender, "send">;
  /** Where what is on its way has its place: each endpoint has one, and more as long as there are some. */
  readonly seats: Seats<string>;
  /** Lets only so many at Postgres. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly write: WriteEvent;
  readonly now: () => number;
  readonly metrics: Metrics;
  readonly traces?: Traces | undefined;
  readonly onFailure: (error: unknown) => void;
};

/** So much is on its way to an endpoint at once; to one that fails, and perhaps only keeps others waiting, this. */
export const mostAtOnce = { usually: 20, failing: 2 };

/** After so many failures in a row it is one that fails. */
const failuresInRow = 5;

/** Nothing is read further while so much is not settled. */
const mostOpen = 1_000;

/** How many events are read at once; few of what is replayed, behind which what comes would wait. */
const pageSize = { usually: 500, small: 50 };

/**
 * So many deliveries may wait to be sent again; those of an endpoint that only fails, which keeps its place instead,
 * are this and one more for each minute: with that one it is found out whether it is back.
 */
const mostPending = { usually: 10_000, failing: 100 };
const minuteMs = 60_000;

/** How often it is kept how far it has come. */
const settleEveryMs = 200;
const settleIdleMs = 5_000;

function endAttempt(span: OpenSpan | undefined, { status, failure }: Sent): void {
  if (status !== undefined) span?.set({ "http.response.status_code": status });
  span?.end(failure === undefined ? undefined : { name: failure, isFault: true });
}

export function createCourier(
  key: EndpointKey,
  first: HeldEndpoint,
  given: EndpointConfig,
  deps: CourierDeps,
): Courier {
  const { db, holder, sender, seats, inTurn, metrics } = deps;
  const { organizationId } = key;
  const live: Track = { replay: 0, taken: first.sequence, to: Infinity, open: new Set() };
  let replay: Track | undefined;
  let config = given;
  let held = first;
  let heldUntilMs = -Infinity;

  let waiting: Going[] = [];
  let arrived: Arrived[] = [];
  /** The ids of those that are sent again. */
  const again = new Set<string>();
  let underWay = 0;
  let failedInRow = 0;
  /** It has answered 410, of which it is not kept yet that nothing is to be sent any more. */
  let isGone = false;
  let mayBeDue = false;
  let settledMs = performance.now();
  let settledAt = first.sequence;

  const giveUp = new AbortController();
  let isFinishing = false;
  let isAbandoned = false;
  let onQuiet: (() => void) | undefined;

  const isFailing = () => held.failingMs !== null || failedInRow >= failuresInRow;
  const isOver = () => isFinishing || isAbandoned;
  const takesEvents = () => held.isEnabled && !isGone;

  function hasRoom(): boolean {
    const minutes = (held.failingMs ?? 0) / minuteMs;
    const most = isFailing() ? mostPending.failing + minutes : mostPending.usually;
    const open = live.open.size + (replay?.open.size ?? 0);
    return open < mostOpen && held.pendingDeliveries + open < most;
  }

  function secrets(): string[] {
    const { secret, oldSecret, oldSecretExpiresAt } = config;
    const isOldValid = oldSecretExpiresAt !== null && oldSecretExpiresAt.getTime() > deps.now();
    return oldSecret !== null && isOldValid ? [secret, oldSecret] : [secret];
  }

  /** Sends what waits, as much at once as may be; to an endpoint that is disabled only tests. */
  function begin(): void {
    const most = isFailing() ? mostAtOnce.failing : mostAtOnce.usually;
    while (underWay < most && !isOver() && performance.now() < heldUntilMs) {
      const next = waiting.findIndex(({ parcel }) => takesEvents() || parcel.type === testType);
      if (next === -1) return;
      const [going] = waiting.splice(next, 1);
      if (going !== undefined) void send(going);
    }
  }

  /** Begins the span of one attempt; neither URL nor body are in it. */
  const beginAttempt = ({ parcel, attemptsBefore }: Going): OpenSpan | undefined =>
    deps.traces?.beginRequest("delivery of a webhook", {
      "http.request.method": "POST",
      "http.request.resend_count": attemptsBefore,
      "callsheet.organization": organizationId,
      "callsheet.webhook_endpoint.id": key.id,
      "callsheet.webhook.id": parcel.id,
      "callsheet.webhook.type": parcel.type,
      "callsheet.webhook.events": parcel.events,
    });

  async function send(going: Going): Promise<void> {
    const { parcel, attemptsBefore, isKept } = going;
    underWay += 1;
    const leave = await seats.take(key.id);
    let span: OpenSpan | undefined;
    try {
      if (isOver() || performance.now() >= heldUntilMs) {
        waiting.unshift(going);
        return;
      }
      const { signal } = giveUp;
      const { id, body } = parcel;
      span = beginAttempt(going);
      const { traceparent } = span?.trace ?? {};
      const sent = await sender.send({ url: config.url, id, secrets: secrets(), body, traceparent, signal });
      endAttempt(span, sent);
      failedInRow = sent.failure === undefined ? 0 : failedInRow + 1;
      isGone ||= sent.failure === "gone" && parcel.type !== testType;
      metrics.webhookDeliveries.inc({ result: sent.failure === undefined ? "delivered" : "failed" });
      metrics.webhookSeconds.observe(sent.durationMs / 1_000);
      arrived.push({ parcel, attempts: attemptsBefore + 1, isKept, sent, going });
    } catch (error) {
      // What is given up goes on its way again, from another replica.
      if (!giveUp.signal.aborted) deps.onFailure(error);
      span?.end({ name: "given_up", isFault: false });
    } finally {
      leave();
      underWay -= 1;
      if (underWay === 0) onQuiet?.();
      wake();
    }
  }

  /** Up to where all of a track is settled, once this is. */
  function placeOf(track: Track, settled: ReadonlySet<Going>): number {
    let place = track.taken;
    for (const going of track.open) {
      if (!settled.has(going)) place = Math.min(place, going.parcel.firstSequence - 1);
    }
    return place;
  }

  /** Keeps what has arrived, if it is time for that. */
  async function keep(): Promise<void> {
    const ended = arrived;
    const everyMs = ended.length > 0 ? settleEveryMs : settleIdleMs;
    if (performance.now() - settledMs < everyMs && !isFinishing) return;
    const settled = new Set(ended.map(({ going }) => going));
    const sequence = placeOf(live, settled);
    if (ended.length === 0 && sequence === settledAt && !isReplayRead(settled)) return;
    const after = replay && placeOf(replay, settled);
    const progress = {
      sequence,
      replay: replay && { number: replay.replay, after: after === replay.to ? null : (after ?? null) },
      hasDelivered: ended.some(({ sent, parcel }) => sent.failure === undefined && parcel.type !== testType),
    };
    arrived = [];
    try {
      if (!(await inTurn(() => settle(db, key, holder, { progress, ended })))) return abandon();
    } catch (error) {
      arrived = [...ended, ...arrived];
      throw error;
    }
    [settledMs, settledAt] = [performance.now(), sequence];
    for (const { going } of ended) {
      going.track?.open.delete(going);
      again.delete(going.parcel.id);
    }
  }

  /** Whether a replay is at its end, of which that is not kept yet. */
  const isReplayRead = (settled: ReadonlySet<Going>): boolean =>
    replay !== undefined && held.replayTo !== null && placeOf(replay, settled) === replay.to;

  function put(parcels: readonly Parcel[], track: Track): void {
    for (const parcel of parcels) {
      const going: Going = { parcel, attemptsBefore: 0, isKept: track.replay > 0, track };
      track.open.add(going);
      waiting.push(going);
    }
  }

  /** Takes what is due again, before anything new. */
  async function takeDue(): Promise<void> {
    if (!mayBeDue) return;
    // No test waits for what is not sent.
    const before = takesEvents() ? waiting.length : 0;
    const size = Math.max(0, mostAtOnce.usually - underWay - before);
    if (size === 0) return;
    mayBeDue = false;
    const due = await inTurn(() => dueDeliveries(db, key, { except: [...again], size }));
    mayBeDue = due.length === size;
    for (const { attempts, ...parcel } of due) {
      again.add(parcel.id);
      waiting.unshift({ parcel, attemptsBefore: attempts, isKept: true, track: undefined });
    }
  }

  /** Takes what comes next of the log; a page whose end is the end of what is there waits for no more. */
  async function takeNew(track: Track): Promise<void> {
    while (
      takesEvents() &&
      !isOver() &&
      hasRoom() &&
      waiting.length < mostAtOnce.usually &&
      track.taken < Math.min(track.to, held.headSequence)
    ) {
      const size = isFailing() || track.replay > 0 ? pageSize.small : pageSize.usually;
      const bounds = boundsOf(config, size);
      const page = await inTurn(() => readEvents(db, organizationId, track.taken, config, bounds));
      // What is no longer kept is not passed over in silence.
      if (track.taken < Math.min(page.head.firstSequence - 1, track.to)) return;
      const events = page.events.filter(({ sequence }) => sequence <= track.to);
      put(toParcels(key.id, events, deps.write), track);
      track.taken = Math.min(Math.max(page.lastSequence, track.taken), track.to);
      begin();
    }
  }

  /** Where the log begins later than the place of a track, it goes on from there, and that is told. */
  async function skip(track: Track): Promise<void> {
    const place = Math.min(held.firstSequence - 1, track.to);
    if (track.taken >= place || track.open.size > 0 || !held.isEnabled) return;
    const missed = await inTurn(() =>
      db.transaction().execute((trx) =>
        telling(trx, organizationId, async (tell) => {
          const count = await skipMissed(trx, key, holder, { replay: track.replay, place });
          const data = { webhookEndpointId: key.id, missedEvents: count };
          if (count > 0) {
            tell({ type: "webhook_endpoint.events_missed", actor: "service", requestId: "", data });
          }
          return count;
        }),
      ),
    );
    if (missed > 0) track.taken = place;
    // Of a replay, another one may have taken its place.
    else if (track.replay === 0) abandon();
  }

  async function turn(): Promise<void> {
    if (isAbandoned) return;
    await keep();
    if (isOver() || performance.now() >= heldUntilMs) return;
    await skip(live);
    if (replay !== undefined) await skip(replay);
    await takeDue();
    begin();
    await takeNew(live);
    if (replay !== undefined) await takeNew(replay);
    begin();
  }

  let turning: Promise<void> | undefined;
  let isRung = false;

  /** Has a turn, and another one after it if this is called meanwhile; never two at once. */
  function wake(): void {
    isRung = true;
    turning ??= (async () => {
      try {
        while (isRung) {
          isRung = false;
          await turn();
        }
      } catch (error) {
        deps.onFailure(error);
      } finally {
        turning = undefined;
      }
    })();
  }

  function abandon(): void {
    isAbandoned = true;
    giveUp.abort();
    [waiting, arrived] = [[], []];
  }

  return {
    get revision() {
      return config.revision;
    },
    get isAbandoned() {
      return isAbandoned;
    },
    hear(now, readMs, changed) {
      held = now;
      heldUntilMs = readMs + now.heldMs;
      if (changed !== undefined) [config, isGone] = [changed, false];
      mayBeDue ||= now.isDue;
      if (now.replayAfter !== null && now.replayTo !== null && replay?.replay !== now.replays) {
        const ended = replay;
        // What an earlier one has left goes no more.
        waiting = waiting.filter(({ track }) => track === undefined || track !== ended);
        replay = { replay: now.replays, taken: now.replayAfter, to: now.replayTo, open: new Set() };
      }
      wake();
    },
    abandon,
    async finish(patienceMs) {
      isFinishing = true;
      const { promise: quiet, resolve } = Promise.withResolvers<void>();
      onQuiet = resolve;
      if (underWay === 0) resolve();
      const timer = setTimeout(() => giveUp.abort(), patienceMs);
      await quiet;
      clearTimeout(timer);
      await turning;
      if (!isAbandoned) await keep();
    },
  };
}
