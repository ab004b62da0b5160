import { DateTime, FixedOffsetZone, IANAZone, type Zone } from "luxon";
import { BatchJobError } from "../batch-job-error.ts";
import { dayMs } from "./day.ts";

const pattern =
  /^(?<year>\d{4})-(?<month>\d\d)-(?<day>\d\d)T(?<hour>[01]\d|2[0-3]):(?<minute>[0-5]\d)(?::(?<second>[0-5]\d)(?:\.(?<fraction>\d{1,30}))?)?(?<offset>Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)?$/;

/** The last instant that a protobuf Timestamp can hold, cut to milliseconds. */
const lastInstantMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const localFormat = "yyyy-MM-dd'T'HH:mm:ss";

const refuse = (text: string, why: string, metadata: Readonly<Record<string, string>> = {}): BatchJobError =>
  new BatchJobError("invalid_datetime", `${JSON.stringify(text.slice(0, 64))} ${why}`, {
    field: "scheduled_start_time",
    ...metadata,
  });

const tooLate = (text: string): BatchJobError =>
  refuse(text, "is too late; the latest start time is 9999-12-31T23:59:59.999Z.");

const offsetMinutes = (offset: string): number => {
  if (offset === "Z") return 0;
  const minutes = Number(offset.slice(1, 3)) * 60 + Number(offset.slice(4, 6));
  return offset.startsWith("-") ? -minutes : minutes;
};

/**
 * The instants at which the clocks of `zone` show `wallMs`, which is what they show as if it were UTC; earliest first.
 */
function instantsOf(wallMs: number, zone: Zone): number[] {
  const offsets = [zone.offset(wallMs - dayMs), zone.offset(wallMs + dayMs)];
  return [...new Set(offsets)]
    .map((offset) => ({ offset, at: wallMs - offset * 60_000 }))
    .filter(({ offset, at }) => zone.offset(at) === offset)
    .map(({ at }) => at)
    .toSorted((a, b) => a - b);
}

/** The first instant after the clocks of `zone` skip over `wallMs`. */
function endOfGap(wallMs: number, zone: Zone): DateTime {
  let before = wallMs - dayMs;
  let after = wallMs + dayMs;
  const offsetAfter = zone.offset(after);
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (zone.offset(middle) === offsetAfter) after = middle;
    else before = middle;
  }
  return DateTime.fromMillis(after, { zone });
}

/**
 * The instant that a start time means: with an offset that instant, without one the wall-clock time in `timeZone`. A
 * wall-clock time that occurs twice means the first; one that the clocks skip is refused with its neighbours.
 */
export function parseStartTime(text: string, timeZone: string): Date {
  const parts = pattern.exec(text)?.groups;
  if (parts === undefined || parts["year"] === "0000") {
    throw refuse(
      text,
      'is not a date-time; write "2027-03-01T10:00:00", optionally with a fraction of a second and with "Z" or an offset such as "-05:00".',
    );
  }
  const wall = {
    year: Number(parts["year"]),
    month: Number(parts["month"]),
    day: Number(parts["day"]),
    hour: Number(parts["hour"]),
    minute: Number(parts["minute"]),
    second: Number(parts["second"] ?? 0),
    millisecond: Number((parts["fraction"] ?? "").slice(0, 3).padEnd(3, "0")),
  };
  const offset = parts["offset"];
  const zone =
    offset === undefined ? IANAZone.create(timeZone) : FixedOffsetZone.instance(offsetMinutes(offset));
  const shown = DateTime.fromObject(wall, { zone: "utc" });
  if (!shown.isValid) throw refuse(text, "is not on the calendar; give a month and a day that exist.");
  const [instant] = instantsOf(shown.toMillis(), zone);
  if (instant === undefined) {
    const end = endOfGap(shown.toMillis(), zone);
    const last = DateTime.fromMillis(end.toMillis() - 1000, { zone });
    const [before, after] = [last.toFormat(localFormat), end.toFormat(localFormat)];
    throw refuse(
      text,
      `does not occur in ${timeZone}: the clocks skip from ${before} to ${after}; give one of these.`,
      { validBefore: before, validAfter: after },
    );
  }
  if (instant > lastInstantMs) throw tooLate(text);
  return new Date(instant);
}

const wordsOf = (ms: number, zone: Zone, includeOffset: boolean): string =>
  String(DateTime.fromMillis(ms, { zone }).toISO({ includeOffset, suppressMilliseconds: true }));

/**
 * The words, as `parseStartTime` reads them, for what the clocks of the zone show so much after they show
 * `scheduledStartTime`, or before that. Of a time that occurs twice they mean the first, or the second if the first is
 * on the wrong side of `scheduledStartTime`.
 */
export function shiftStartTime(scheduledStartTime: Date, shiftMs: number, timeZone: string): string {
  const zone = IANAZone.create(timeZone);
  const atMs = scheduledStartTime.getTime();
  const wallMs = atMs + zone.offset(atMs) * 60_000 + shiftMs;
  const words = wordsOf(wallMs, FixedOffsetZone.utcInstance, false);
  if (wallMs > lastInstantMs) throw tooLate(words);
  const [first, second] = instantsOf(wallMs, zone);
  const isBehind = shiftMs > 0 && first !== undefined && first <= atMs;
  return isBehind && second !== undefined ? wordsOf(second, zone, true) : words;
}

/** Refuses an instant that is not in the future. */
export function checkFuture(instant: Date, now: Date): void {
  if (instant > now) return;
  throw new BatchJobError(
    "past_scheduled_time",
    `The start time ${DateTime.fromJSDate(instant, { zone: "utc" }).toISO()} is not in the future; it is ${now.toISOString()} now.`,
    { field: "scheduled_start_time", now: now.toISOString() },
  );
}

/** What the clocks of the zone show at an instant, and, where they go back over it, when they show it again. */
export function localTimeOf(
  instant: Date,
  timeZone: string,
): { localTime: string; againAt: Date | undefined } {
  const shown = DateTime.fromJSDate(instant, { zone: timeZone });
  const wallMs = instant.getTime() + shown.offset * 60_000;
  const again = instantsOf(wallMs, IANAZone.create(timeZone)).find((at) => at > instant.getTime());
  return {
    localTime: shown.toFormat(`${localFormat}ZZ`),
    againAt: again === undefined ? undefined : new Date(again),
  };
}
