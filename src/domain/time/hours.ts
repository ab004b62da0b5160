import { dayMs, horizonMs } from "./day.ts";
import { offsetPeriods } from "./zone-offsets.ts";

/** A part of a day in minutes since its midnight, half-open; 1440 is the midnight at its end. */
export type DayWindow = { readonly startMinute: number; readonly endMinute: number };

/**
 * When calls are allowed, in the local time of whom is called: in the windows of the weekday, 1 (Monday) to 7 (Sunday),
 * or, on a date that is an exception (`YYYY-MM-DD`), in that one's windows and no others.
 */
export type CallingHours = {
  readonly windows: readonly (DayWindow & { readonly days: readonly number[] })[];
  readonly exceptions: readonly { readonly date: string; readonly windows: readonly DayWindow[] }[];
  /** For how long before an end no lease is given any more, so that a slow worker does not ring after it. */
  readonly closeEarlyMs: number;
};

/** A time in which a set of zones is open: leases are given from `fromMs` on, and before `untilMs`. */
export type Opening = {
  readonly fromMs: number;
  readonly untilMs: number;
  /** When the hours end: a call must have begun before. */
  readonly callBeforeMs: number;
};

/**
 * Whether all of the hours (a job's, its organization's) allow a call at the instant in every one of the zones, by the
 * local time that the instant has there. Nothing is allowed in no zone, or in one that the runtime does not know.
 */
export const isOpen = (
  hours: readonly CallingHours[],
  zones: readonly string[],
  instantMs: number,
): boolean => openWithin(hours, zones, { fromMs: instantMs, untilMs: instantMs + 1 }).length > 0;

/** How far ahead an opening is looked for: exceptions may close a whole year. */

/**
 * The opening of the zones under all of the hours in which `atMs` is, or the next one after it; undefined if none
 * begins within 400 days.
 *
 * Windows that touch are one opening, and the longest of the times to close early holds for all of them. One that has
 * been open for more than a day may be said to begin within the day before that; one that is open for 400 days more is
 * said to end with them, and the next begins there.
 */
export function findOpening(
  hours: readonly CallingHours[],
  zones: readonly string[],
  atMs: number,
): Opening | undefined {
  const closeEarlyMs = Math.max(0, ...hours.map((each) => each.closeEarlyMs));
  const lastMs = atMs + horizonMs;
  const firstDay = Math.floor(atMs / dayMs) - 1;
  for (const { fromMs, untilMs } of openSpans(hours, zones, firstDay, lastMs + closeEarlyMs)) {
    if (fromMs >= lastMs) return undefined;
    const closesMs = untilMs - closeEarlyMs;
    if (closesMs > lastMs) return { fromMs, untilMs: lastMs, callBeforeMs: lastMs };
    if (closesMs > Math.max(fromMs, atMs)) return { fromMs, untilMs: closesMs, callBeforeMs: untilMs };
  }
  return undefined;
}

type Span = { readonly fromMs: number; readonly untilMs: number };

/** What is open from a day of UTC on, in order; those that touch are one. The last one may go beyond `untilMs`. */
function* openSpans(
  hours: readonly CallingHours[],
  zones: readonly string[],
  firstDay: number,
  untilMs: number,
): Generator<Span> {
  let last: Span | undefined;
  for (let fromMs = firstDay * dayMs; fromMs <= untilMs; fromMs += dayMs) {
    if (last !== undefined && last.untilMs < fromMs) {
      yield last;
      last = undefined;
    }
    for (const span of openWithin(hours, zones, { fromMs, untilMs: fromMs + dayMs })) {
      const touches = last?.untilMs === span.fromMs;
      if (last !== undefined && !touches) yield last;
      last = touches && last !== undefined ? { fromMs: last.fromMs, untilMs: span.untilMs } : span;
    }
  }
  if (last !== undefined) yield last;
}

function openWithin(hours: readonly CallingHours[], zones: readonly string[], within: Span): readonly Span[] {
  let open: readonly Span[] = zones.length === 0 ? [] : [within];
  for (const zone of zones) {
    for (const each of hours) {
      if (open.length > 0) open = inBoth(open, openInZone(each, zone, within));
    }
  }
  return open;
}

/** Each period of a zone has one offset, so that local times in it are instants and nothing else. */
function openInZone(hours: CallingHours, zone: string, within: Span): Span[] {
  const windowsOn = timetableOf(hours);
  return offsetPeriods(zone, within.fromMs, within.untilMs).flatMap((period) => {
    const fromMs = Math.max(within.fromMs, period.fromMs);
    const untilMs = Math.min(within.untilMs, period.untilMs);
    const spans: Span[] = [];
    for (let day = Math.floor((fromMs + period.offsetMs) / dayMs); ; day++) {
      const midnightMs = day * dayMs - period.offsetMs;
      if (midnightMs >= untilMs) return spans;
      for (const { startMinute, endMinute } of windowsOn(day)) {
        const startMs = Math.max(fromMs, midnightMs + startMinute * 60_000);
        const endMs = Math.min(untilMs, midnightMs + endMinute * 60_000);
        if (startMs < endMs) spans.push({ fromMs: startMs, untilMs: endMs });
      }
    }
  });
}

/** What is in a span of either list; the spans of each are in order and apart. */
function inBoth(some: readonly Span[], others: readonly Span[]): Span[] {
  const both: Span[] = [];
  for (const a of some) {
    for (const b of others) {
      const fromMs = Math.max(a.fromMs, b.fromMs);
      const untilMs = Math.min(a.untilMs, b.untilMs);
      if (fromMs < untilMs) both.push({ fromMs, untilMs });
    }
  }
  return both;
}

/** The windows of a day in order, by its number since 1970-01-01. */
type Timetable = (day: number) => readonly DayWindow[];

const timetables = new WeakMap<CallingHours, Timetable>();

function timetableOf(hours: CallingHours): Timetable {
  const kept = timetables.get(hours);
  if (kept !== undefined) return kept;
  const weekdays = Array.from({ length: 7 }, (_, i) =>
    inOrder(hours.windows.filter(({ days }) => days.includes(i + 1))),
  );
  const exceptions = new Map(
    hours.exceptions.map(({ date, windows }) => [Date.parse(date) / dayMs, inOrder(windows)]),
  );
  // The first day was a Thursday.
  const timetable: Timetable = (day) => exceptions.get(day) ?? weekdays[(((day + 3) % 7) + 7) % 7] ?? [];
  timetables.set(hours, timetable);
  return timetable;
}

const inOrder = (windows: readonly DayWindow[]): readonly DayWindow[] =>
  windows.toSorted((a, b) => a.startMinute - b.startMinute);
