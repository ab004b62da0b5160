import { IANAZone } from "luxon";
import { dayMs } from "./day.ts";

/** A time in which the clocks of a zone are `offsetMs` ahead of UTC: from its start on, and until its end. */
export type OffsetPeriod = { readonly fromMs: number; readonly untilMs: number; readonly offsetMs: number };

/** The runtime takes microseconds to say an offset, so that whole stretches of periods are kept. */
const stretchMs = 64 * dayMs;
/** Some 20 MB; as many as all zones have in ten years. */
const mostStretches = 25_000;
const stretches = new Map<string, readonly OffsetPeriod[]>();

/** The periods of a zone that meet the time from `fromMs` until `untilMs`, in order; none of a zone that is unknown. */
export function offsetPeriods(zone: string, fromMs: number, untilMs: number): OffsetPeriod[] {
  const found: OffsetPeriod[] = [];
  for (let stretch = Math.floor(fromMs / stretchMs); stretch * stretchMs < untilMs; stretch++) {
    for (const period of stretchOf(zone, stretch)) {
      if (period.untilMs > fromMs && period.fromMs < untilMs) found.push(period);
    }
  }
  return found;
}

function stretchOf(zone: string, stretch: number): readonly OffsetPeriod[] {
  const key = `${stretch} ${zone}`;
  const kept = stretches.get(key);
  if (kept !== undefined) return kept;
  if (stretches.size >= mostStretches) stretches.clear();
  const periods = findPeriods(zone, stretch * stretchMs);
  stretches.set(key, periods);
  return periods;
}

/** Looks once a day: no zone changes its clocks and takes that back within one. */
function findPeriods(name: string, startMs: number): OffsetPeriod[] {
  const zone = IANAZone.create(name);
  if (!zone.isValid) return [];
  const offsetAt = (atMs: number): number => Math.round(zone.offset(atMs) * 60_000);
  const periods: OffsetPeriod[] = [];
  let [fromMs, offsetMs] = [startMs, offsetAt(startMs)];
  const endMs = startMs + stretchMs;
  for (let atMs = startMs + dayMs; atMs <= endMs; atMs += dayMs) {
    const next = offsetAt(atMs);
    if (next === offsetMs) continue;
    let [before, after] = [atMs - dayMs, atMs];
    while (after - before > 1) {
      const middle = Math.floor((before + after) / 2);
      if (offsetAt(middle) === offsetMs) before = middle;
      else after = middle;
    }
    periods.push({ fromMs, untilMs: after, offsetMs });
    [fromMs, offsetMs] = [after, next];
  }
  if (fromMs < endMs) periods.push({ fromMs, untilMs: endMs, offsetMs });
  return periods;
}
