/* Whether calls began as fast as rules allow, by when they began and ended. */

/** So much of a time in which nobody asked is made up for. */
const slackMs = 150;

/**
 * The worst breach of a pace, if there is one: a span in which more calls began than it allows with what it
 * makes up for. The times are in their order, and cut to milliseconds.
 */
export function tooFast(times: readonly number[], perSecond: number): string[] {
  const perMs = perSecond / 1_000;
  let first = 0;
  let worst: { readonly first: number; readonly last: number; readonly over: number } | undefined;
  // Calls that are ahead of the pace at a time, reckoned from any point.
  const aheadAt = (i: number) => i - (times[i] ?? 0) * perMs;
  for (const i of times.keys()) {
    if (aheadAt(i) < aheadAt(first)) first = i;
    const over = aheadAt(i) - aheadAt(first) - 1 - (slackMs + 1) * perMs;
    if (over >= 0 && over > (worst?.over ?? -1)) worst = { first, last: i, over };
  }
  if (worst === undefined) return [];
  return [`${worst.last - worst.first + 1} in ${(times[worst.last] ?? 0) - (times[worst.first] ?? 0)} ms`];
}

/** The most of these times, which are in their order, in any so many ms. */
export function mostIn(ms: number, times: readonly number[]): number {
  let [most, first] = [0, 0];
  for (const [i, time] of times.entries()) {
    while ((times[first] ?? time) <= time - ms) first += 1;
    most = Math.max(most, i - first + 1);
  }
  return most;
}

/** A call, from its lease to its end. */
export type Call = { readonly fromMs: number; readonly untilMs: number };

/** The calls, as they began, with how many went on then; one may begin in the instant that another ends. */
function* beginnings(calls: readonly Call[]): Generator<{ readonly atMs: number; readonly open: number }> {
  const ends = calls.map(({ untilMs }) => untilMs).toSorted((a, b) => a - b);
  let ended = 0;
  for (const [i, { fromMs: atMs }] of calls.toSorted((a, b) => a.fromMs - b.fromMs).entries()) {
    while ((ends[ended] ?? Infinity) <= atMs) ended += 1;
    yield { atMs, open: i + 1 - ended };
  }
}

/** The most of the calls that went on at once. */
export function mostAtOnce(calls: readonly Call[]): number {
  let most = 0;
  for (const { open } of beginnings(calls)) most = Math.max(most, open);
  return most;
}

/** A limit of calls at once that grows evenly from one to the whole, in so long from a start. */
export type Ramp = { readonly startMs: number; readonly limit: number; readonly rampUpMs: number };

/** How many calls began that the limit, as it was then, did not allow. */
export function beyondRamp(calls: readonly Call[], { startMs, limit, rampUpMs }: Ramp): number {
  let beyond = 0;
  for (const { atMs, open } of beginnings(calls)) {
    const allowed = Math.min(limit, 1 + Math.floor(((limit - 1) * (atMs - startMs)) / rampUpMs));
    if (open > allowed) beyond += 1;
  }
  return beyond;
}
