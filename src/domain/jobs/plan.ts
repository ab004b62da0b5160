import { type CallingHours, type Opening, findOpening } from "../time/hours.ts";
import { horizonMs } from "../time/day.ts";

/** What a run is reckoned from. */
export type Campaign = {
  readonly startMs: number;
  /** Contacts by the zones that they are in. Those that wait for a retry have one attempt behind them. */
  readonly sets: readonly {
    readonly zones: readonly string[];
    readonly pending: number;
    readonly waiting: number;
  }[];
  /** All of them must allow a call. None allows all. */
  readonly hours: readonly CallingHours[];
  readonly concurrentCallLimit: number;
  /** Over so long from the start of the job the limit grows from one. */
  readonly rampUpMs: number | null;
  /** When the job started, if that is before the start of the plan. */
  readonly runsSinceMs?: number;
  /** No call begins from then on. */
  readonly endMs?: number;
  readonly callsPerSecond: number | null;
  readonly maxAttempts: number;
  readonly retryDelaysMs: readonly number[];
  readonly callDurationMs: number;
  /** Of all attempts those after which a contact is tried again while attempts remain: 0 to 1. */
  readonly retriedShare: number;
};

export type Plan = {
  /** The hours from the start on in which calls begin. */
  readonly hours: readonly { readonly fromMs: number; readonly calls: number }[];
  /** When the contacts of each set may first be called; undefined for never. */
  readonly sets: readonly { readonly opensAtMs: number | undefined }[];
  /** When the last call begins; undefined where there is none. */
  readonly lastCallAtMs: number | undefined;
  /** How many are not called to an end until the plan ends, after 400 days at most, beside those who can never be. */
  readonly leftOver: number;
};

const hourMs = 60 * 60 * 1_000;
const stepMs = 30_000;
/** A longer plan has longer steps. */
const mostSteps = 20_000;
/** Less than half a call is none. */
const least = 0.5;

/** So many contacts of a set that have had so many attempts. */
type Cohort = { readonly set: number; readonly attempts: number; count: number };
type Timed = Cohort & { readonly atMs: number };

/**
 * What a run comes to if its calls last as long and end as is assumed, and workers ask at once: as many calls begin as
 * limit, pace and hours allow, retries first. It is reckoned in steps, of which each gives so many calls, not in single
 * calls; so it knows averages, and nothing of chance.
 */
export function planOf(campaign: Campaign): Plan {
  const { startMs, hours, callDurationMs, callsPerSecond, maxAttempts, runsSinceMs = startMs } = campaign;
  const endMs = Math.min(startMs + horizonMs, campaign.endMs ?? Infinity);
  const ready: Cohort[][] = campaign.sets.map(({ waiting, pending }, set) => [
    { set, attempts: 1, count: maxAttempts > 1 ? waiting : 0 },
    { set, attempts: 0, count: pending },
  ]);
  const openings = campaign.sets.map(({ zones }) => openingsOf(hours, zones, startMs));
  const firsts = openings.map((opening) => opening(startMs));
  for (const [set, first] of firsts.entries()) if (first === undefined) ready[set] = [];

  const { step, callsInStep } = stepsOf(campaign);
  const calls = new Map<number, number>();
  /** Calls in progress, and delays of retries, each in the order of their ends. */
  const dialing: Timed[] = [];
  const delayed = new Map<number, Timed[]>();
  /** Parts of calls, by set and attempts, that are none until there are more of them. */
  const parts = new Map<number, number>();
  let [inProgress, lastCallAtMs] = [0, undefined as number | undefined];
  let atMs = startMs;

  const delayOf = (attempts: number): number =>
    campaign.retryDelaysMs[Math.min(attempts, campaign.retryDelaysMs.length) - 1] ?? 0;

  /** Calls that have ended: a share of them waits for another attempt. */
  function endCalls(): void {
    while (dialing[0] !== undefined && dialing[0].atMs <= atMs) {
      const ended = dialing.shift();
      if (ended === undefined) return;
      inProgress -= ended.count;
      if (ended.attempts >= maxAttempts) continue;
      const kind = ended.set * maxAttempts + ended.attempts;
      const again = ended.count * campaign.retriedShare + (parts.get(kind) ?? 0);
      parts.set(kind, again < least ? again : 0);
      if (again < least) continue;
      const delay = delayOf(ended.attempts);
      const queue = delayed.get(delay) ?? [];
      queue.push({ ...ended, count: again, atMs: ended.atMs + delay });
      delayed.set(delay, queue);
    }
  }

  function endDelays(): void {
    for (const queue of delayed.values()) {
      while (queue[0] !== undefined && queue[0].atMs <= atMs) {
        const due = queue.shift();
        if (due === undefined) break;
        const same = ready[due.set]?.find(({ attempts }) => attempts === due.attempts);
        if (same === undefined) ready[due.set]?.unshift({ ...due });
        else same.count += due.count;
      }
    }
  }

  const countOf = (set: number): number => (ready[set] ?? []).reduce((sum, { count }) => sum + count, 0);
  const limitAt = (instantMs: number): number =>
    campaign.rampUpMs === null
      ? campaign.concurrentCallLimit
      : Math.min(
          campaign.concurrentCallLimit,
          1 +
            Math.floor(((campaign.concurrentCallLimit - 1) * (instantMs - runsSinceMs)) / campaign.rampUpMs),
        );

  while (atMs < endMs) {
    endCalls();
    endDelays();
    const waiting = [...ready.keys()].filter((set) => countOf(set) > 1e-9);
    const current = new Map(waiting.map((set) => [set, openings[set]?.(atMs)]));
    const open = waiting.filter((set) => (current.get(set)?.fromMs ?? Infinity) <= atMs);
    if (open.length === 0) {
      const next = Math.min(
        ...waiting.map((set) => current.get(set)?.fromMs ?? Infinity),
        ...[dialing, ...delayed.values()].map((queue) => queue[0]?.atMs ?? Infinity),
      );
      if (next === Infinity) break;
      atMs = Math.max(next, atMs + 1);
      continue;
    }
    const closesMs = Math.min(...open.map((set) => current.get(set)?.untilMs ?? Infinity));
    const lastsMs = Math.min(step, closesMs - atMs, endMs - atMs);
    const share = lastsMs / step;
    const room =
      callsInStep === 1
        ? limitAt(atMs) - inProgress
        : limitAt(atMs + lastsMs / 2) * Math.max(1, callsInStep * share);
    let left = Math.max(
      0,
      Math.min(room, callsPerSecond === null ? Infinity : (callsPerSecond * lastsMs) / 1_000),
    );
    const all = open.reduce((sum, set) => sum + countOf(set), 0);
    const begun = Math.min(left, all);
    for (const set of open) {
      for (const cohort of ready[set] ?? []) {
        const count = Math.min(cohort.count, left);
        if (count <= 0) continue;
        cohort.count -= count;
        left -= count;
        inProgress += count;
        dialing.push({ ...cohort, attempts: cohort.attempts + 1, count, atMs: atMs + callDurationMs });
      }
      ready[set] = (ready[set] ?? []).filter(({ count }) => count > 1e-9);
    }
    if (begun > 0) {
      const hour = Math.floor((atMs - startMs) / hourMs);
      calls.set(hour, (calls.get(hour) ?? 0) + begun);
      const isDone = begun === all;
      const perMs = callsPerSecond === null ? Infinity : callsPerSecond / 1_000;
      lastCallAtMs = atMs + (isDone ? Math.min(lastsMs, begun / perMs) : lastsMs);
    }
    atMs += lastsMs;
  }
  return {
    hours: [...calls]
      .toSorted(([a], [b]) => a - b)
      .map(([hour, count]) => ({ fromMs: startMs + hour * hourMs, calls: Math.round(count) }))
      .filter((hour) => hour.calls > 0),
    sets: firsts.map((first) => ({ opensAtMs: first && Math.max(first.fromMs, startMs) })),
    lastCallAtMs: lastCallAtMs === undefined ? undefined : Math.round(lastCallAtMs),
    leftOver: Math.round(
      [...ready, ...delayed.values()].flat().reduce((sum: number, { count }) => sum + count, 0),
    ),
  };
}

/** The opening that an instant is in, or the next one; remembered, since instants come in their order. */
function openingsOf(
  hours: readonly CallingHours[],
  zones: readonly string[],
  startMs: number,
): (atMs: number) => Opening | undefined {
  if (hours.length === 0) {
    const always = { fromMs: startMs, untilMs: Infinity, callBeforeMs: Infinity };
    return () => always;
  }
  let known: { opening: Opening | undefined } | undefined;
  return (atMs) => {
    if (known === undefined || (known.opening !== undefined && known.opening.untilMs <= atMs)) {
      known = { opening: findOpening(hours, zones, atMs) };
    }
    return known.opening;
  };
}

/**
 * How long a step is: a whole part of a call, so that what ends makes room at the beginning of one, or as long as some
 * calls one after the other, of which then so many are in a step.
 */
function stepsOf({ sets, callDurationMs, concurrentCallLimit, callsPerSecond, maxAttempts }: Campaign) {
  const contacts = sets.reduce((sum, { pending, waiting }) => sum + pending + waiting, 0);
  const eachMs = Math.max(callDurationMs / concurrentCallLimit, callsPerSecond ? 1_000 / callsPerSecond : 0);
  const wanted = Math.max(stepMs, (contacts * maxAttempts * eachMs) / mostSteps);
  if (callDurationMs >= wanted) {
    return { step: Math.ceil(callDurationMs / Math.ceil(callDurationMs / wanted)), callsInStep: 1 };
  }
  const callsInStep = Math.ceil(wanted / callDurationMs);
  return { step: callDurationMs * callsInStep, callsInStep };
}
