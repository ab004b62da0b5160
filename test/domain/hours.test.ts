import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CallingHours, type DayWindow, findOpening, isOpen } from "../../src/domain/time/hours.ts";

const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;
const everyDay = [1, 2, 3, 4, 5, 6, 7];

const minuteOf = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/** `09:00-17:00`, in minutes. */
const window = (text: string): DayWindow => {
  const [start = "", end = ""] = text.split("-");
  return { startMinute: minuteOf(start), endMinute: minuteOf(end) };
};

/** Hours that are the same on each of the days, without a time to close early unless one is given. */
function hoursOf(
  texts: readonly string[],
  {
    days = everyDay,
    exceptions = {},
    closeEarlyMs = 0,
  }: {
    days?: readonly number[];
    exceptions?: Record<string, readonly string[]>;
    closeEarlyMs?: number;
  } = {},
): CallingHours {
  return {
    windows: texts.map((text) => ({ days, ...window(text) })),
    exceptions: Object.entries(exceptions).map(([date, windows]) => ({
      date,
      windows: windows.map(window),
    })),
    closeEarlyMs,
  };
}

/** The next openings from `at` on, each as `from until callBefore`. */
function openings(
  hours: readonly CallingHours[],
  zones: readonly string[],
  at: string,
  { count = 1 }: { count?: number } = {},
): string[] {
  const found: string[] = [];
  let atMs = Date.parse(at);
  while (found.length < count) {
    const opening = findOpening(hours, zones, atMs);
    if (opening === undefined) return [...found, "none"];
    const { fromMs, untilMs, callBeforeMs } = opening;
    const times = callBeforeMs === untilMs ? [fromMs, untilMs] : [fromMs, untilMs, callBeforeMs];
    found.push(times.map((ms) => new Date(ms).toISOString().replace(/:00\.000Z$/, "Z")).join(" "));
    atMs = opening.untilMs;
  }
  return found;
}

describe("an opening", () => {
  const office = hoursOf(["09:00-20:00"], { days: [1, 2, 3, 4, 5], closeEarlyMs: 2 * minuteMs });

  test.each([
    ["before it", "2027-03-01T10:00Z"],
    ["at its start", "2027-03-01T14:00Z"],
    ["within it", "2027-03-01T20:00Z"],
    ["a millisecond before it closes", "2027-03-02T00:57:59.999Z"],
  ])("is found from %s", (_, at) => {
    expect(openings([office], ["America/New_York"], at)).toEqual([
      "2027-03-01T14:00Z 2027-03-02T00:58Z 2027-03-02T01:00Z",
    ]);
  });

  test("is over once it closes, though calls may begin for a while", () => {
    expect(openings([office], ["America/New_York"], "2027-03-02T00:58Z")).toEqual([
      "2027-03-02T14:00Z 2027-03-03T00:58Z 2027-03-03T01:00Z",
    ]);
  });

  test("is on the next day that has a window", () => {
    expect(openings([office], ["America/New_York"], "2027-03-06T03:00Z")).toEqual([
      "2027-03-08T14:00Z 2027-03-09T00:58Z 2027-03-09T01:00Z",
    ]);
  });

  test("is one where windows touch, also at midnight", () => {
    const night = hoursOf(["00:00-06:00", "20:00-22:00", "22:00-24:00"], { closeEarlyMs: minuteMs });
    expect(openings([night], ["UTC"], "2027-03-01T12:00Z", { count: 2 })).toEqual([
      "2027-03-01T20:00Z 2027-03-02T05:59Z 2027-03-02T06:00Z",
      "2027-03-02T20:00Z 2027-03-03T05:59Z 2027-03-03T06:00Z",
    ]);
  });

  test("has the windows of an exception on its date, which is the local one", () => {
    const hours = hoursOf(["09:00-17:00"], {
      exceptions: { "2027-12-24": ["10:00-12:00"], "2027-12-25": [] },
    });
    expect(openings([hours], ["Pacific/Kiritimati"], "2027-12-23T00:00Z", { count: 3 })).toEqual([
      "2027-12-22T19:00Z 2027-12-23T03:00Z",
      "2027-12-23T20:00Z 2027-12-23T22:00Z",
      "2027-12-25T19:00Z 2027-12-26T03:00Z",
    ]);
  });

  test("is where every zone is open", () => {
    const hours = hoursOf(["08:00-21:00"]);
    const zones = ["America/New_York", "America/Los_Angeles", "America/Phoenix"];
    expect(openings([hours], zones, "2027-07-01T10:00Z")).toEqual(["2027-07-01T15:00Z 2027-07-02T01:00Z"]);
  });

  test("is where job and organization allow it, and closes as early as either says", () => {
    const job = hoursOf(["07:00-12:00", "13:00-23:00"], { closeEarlyMs: minuteMs });
    const floor = hoursOf(["09:00-20:00"], { days: [1, 2, 3, 4, 5], closeEarlyMs: 5 * minuteMs });
    expect(openings([job, floor], ["UTC"], "2027-03-05T00:00Z", { count: 3 })).toEqual([
      "2027-03-05T09:00Z 2027-03-05T11:55Z 2027-03-05T12:00Z",
      "2027-03-05T13:00Z 2027-03-05T19:55Z 2027-03-05T20:00Z",
      "2027-03-08T09:00Z 2027-03-08T11:55Z 2027-03-08T12:00Z",
    ]);
  });

  test("is passed over where it would close before it opens", () => {
    const job = hoursOf(["08:00-09:02", "12:00-13:00"], { closeEarlyMs: 2 * minuteMs });
    const floor = hoursOf(["09:00-17:00"]);
    expect(openings([job, floor], ["UTC"], "2027-03-05T00:00Z")).toEqual([
      "2027-03-05T12:00Z 2027-03-05T12:58Z 2027-03-05T13:00Z",
    ]);
  });

  test("of all days and hours ends after 400 days, and the next one begins there", () => {
    const always = hoursOf(["00:00-24:00"], { closeEarlyMs: 2 * minuteMs });
    expect(openings([always], ["Europe/Paris"], "2027-03-01T12:00Z")).toEqual([
      "2027-02-28T00:00Z 2028-04-04T12:00Z",
    ]);
    expect(isOpen([always], ["Europe/Paris"], Date.parse("2028-04-04T12:00Z"))).toBe(true);
  });

  test("may be behind a year of exceptions", () => {
    const dates = Array.from({ length: 400 }, (_, i) =>
      new Date(Date.parse("2027-01-01") + i * dayMs).toISOString().slice(0, 10),
    );
    const closed = Object.fromEntries(dates.map((date): [string, string[]] => [date, []]));
    const hours = hoursOf(["09:00-17:00"], { exceptions: closed });
    expect(openings([hours], ["UTC"], "2027-01-02T00:00Z")).toEqual(["2028-02-05T09:00Z 2028-02-05T17:00Z"]);
    expect(openings([hours], ["UTC"], "2026-12-31T20:00Z")).toEqual(["none"]);
  });

  test.each([
    ["no zone", []],
    ["a zone that is unknown", ["America/Atlantis"]],
    ["a zone that is unknown beside another", ["UTC", "America/Atlantis"]],
    ["zones that are never open together", ["UTC", "Pacific/Auckland"]],
  ])("is never there for %s", (_, zones) => {
    expect(openings([hoursOf(["09:00-17:00"])], zones, "2027-03-01T00:00Z")).toEqual(["none"]);
    expect(isOpen([hoursOf(["09:00-17:00"])], zones, Date.parse("2027-03-01T12:00Z"))).toBe(false);
  });
});

describe("when the clocks change", () => {
  test.each([
    [
      "both passes of a doubled hour are open",
      ["01:00-02:00"],
      "America/New_York",
      "2027-11-07T05:00Z",
      ["2027-11-07T05:00Z 2027-11-07T07:00Z"],
    ],
    [
      "a part of a doubled hour is open twice",
      ["00:30-01:30"],
      "America/New_York",
      "2027-11-07T04:00Z",
      ["2027-11-07T04:30Z 2027-11-07T05:30Z", "2027-11-07T06:00Z 2027-11-07T06:30Z"],
    ],
    [
      "a window shortens in the hour that is skipped",
      ["01:30-03:30"],
      "America/New_York",
      "2027-03-14T00:00Z",
      ["2027-03-14T06:30Z 2027-03-14T07:30Z"],
    ],
    [
      "a window in the hour that is skipped is on the next day",
      ["02:00-03:00"],
      "America/New_York",
      "2027-03-14T00:00Z",
      ["2027-03-15T06:00Z 2027-03-15T07:00Z"],
    ],
    [
      "Lord Howe goes back by half an hour",
      ["01:30-02:00"],
      "Australia/Lord_Howe",
      "2027-04-03T00:00Z",
      ["2027-04-03T14:30Z 2027-04-03T15:30Z"],
    ],
    [
      "Lord Howe goes forward by half an hour",
      ["01:45-02:45"],
      "Australia/Lord_Howe",
      "2027-10-02T00:00Z",
      ["2027-10-02T15:15Z 2027-10-02T15:45Z"],
    ],
    [
      "Apia has no 30 December 2011",
      ["09:00-17:00"],
      "Pacific/Apia",
      "2011-12-29T12:00Z",
      ["2011-12-29T19:00Z 2011-12-30T03:00Z", "2011-12-30T19:00Z 2011-12-31T03:00Z"],
    ],
    [
      "Casablanca goes back for Ramadan, and forward after it",
      ["02:30-03:30"],
      "Africa/Casablanca",
      "2024-03-09T12:00Z",
      ["2024-03-10T01:30Z 2024-03-10T02:00Z", "2024-03-10T02:30Z 2024-03-10T03:30Z"],
    ],
  ])("%s", (_, windows, zone, at, expected) => {
    expect(openings([hoursOf(windows)], [zone], at, { count: expected.length })).toEqual(expected);
  });

  test("a weekday that a zone skips has no window", () => {
    // 30 December 2011 would have been a Friday.
    const friday = hoursOf(["09:00-17:00"], { days: [5] });
    expect(openings([friday], ["Pacific/Apia"], "2011-12-29T12:00Z")).toEqual([
      "2012-01-05T19:00Z 2012-01-06T03:00Z",
    ]);
  });
});

const textOf = (minute: number): string =>
  `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;

/** The second reader: asks the runtime what the clocks show at a minute, and compares texts. */
const slow = (() => {
  const formats = new Map<string, Intl.DateTimeFormat>();
  /** `2027-03-01 14:30`. */
  function clock(zone: string, atMs: number): string {
    let format = formats.get(zone);
    if (format === undefined) {
      format = new Intl.DateTimeFormat("sv-SE", { timeZone: zone, dateStyle: "short", timeStyle: "short" });
      formats.set(zone, format);
    }
    return format.format(atMs);
  }

  function allows({ windows, exceptions }: CallingHours, wall: string): boolean {
    const [date = "", time = ""] = wall.split(" ");
    const weekday = new Date(`${date}T12:00Z`).getUTCDay() || 7;
    const exception = exceptions.find((each) => each.date === date);
    const ofDay = exception?.windows ?? windows.filter(({ days }) => days.includes(weekday));
    return ofDay.some(
      ({ startMinute, endMinute }) => textOf(startMinute) <= time && time < textOf(endMinute),
    );
  }

  const isOpenAt = (hours: readonly CallingHours[], zones: readonly string[], atMs: number): boolean =>
    zones.every((zone) => {
      const wall = clock(zone, atMs);
      return hours.every((each) => allows(each, wall));
    });

  /** The first minutes at which the clocks of a zone go on otherwise than by one minute. */
  function transitions(zone: string, year: number, stepMs: number): number[] {
    const ahead = (atMs: number) => Date.parse(`${clock(zone, atMs).replace(" ", "T")}Z`) - atMs;
    const found: number[] = [];
    for (let atMs = Date.UTC(year, 0); atMs < Date.UTC(year + 1, 0); atMs += stepMs) {
      if (ahead(atMs) === ahead(atMs + stepMs)) continue;
      let minute = atMs;
      while (ahead(minute) === ahead(atMs)) minute += minuteMs;
      found.push(minute);
    }
    return found;
  }

  return { isOpenAt, transitions };
})();

/** How far the second reader walks. */
const walkMs = 10 * dayMs;
const notBeforeMs = 2 * 60 * minuteMs;

type Case = { hours: CallingHours[]; zones: string[]; atMs: number };

/** An opening as both readers can tell it: since a day before, and as far as is walked. */
function shown(
  { fromMs, untilMs, callBeforeMs }: { fromMs: number; untilMs: number; callBeforeMs: number },
  atMs: number,
) {
  const endMs = atMs + walkMs;
  if (fromMs >= endMs - notBeforeMs) return "none";
  const beyond = callBeforeMs >= endMs;
  return [Math.max(fromMs, atMs - dayMs), beyond ? "…" : untilMs, beyond ? "…" : callBeforeMs].join(" ");
}

/** What the second reader says the opening is, minute by minute. */
function walk({ hours, zones, atMs }: Case): string {
  const closeEarlyMs = Math.max(0, ...hours.map((each) => each.closeEarlyMs));
  const endMs = atMs + walkMs;
  const isOpenAt = (minute: number) => slow.isOpenAt(hours, zones, minute);
  let minute = atMs;
  while (minute > atMs - dayMs && isOpenAt(minute) && isOpenAt(minute - minuteMs)) minute -= minuteMs;
  while (minute < endMs) {
    if (!isOpenAt(minute)) {
      minute += minuteMs;
      continue;
    }
    const fromMs = minute;
    while (minute < endMs && isOpenAt(minute)) minute += minuteMs;
    const untilMs = minute - closeEarlyMs;
    if (untilMs > Math.max(fromMs, atMs) || minute >= endMs) {
      return shown({ fromMs, untilMs, callBeforeMs: minute }, atMs);
    }
  }
  return "none";
}

function expectBothAgree(each: Case): void {
  const { hours, zones, atMs } = each;
  const opening = findOpening(hours, zones, atMs);
  expect(opening === undefined ? "none" : shown(opening, atMs)).toBe(walk(each));
  const minutes = Array.from({ length: 36 * 60 }, (_, i) => atMs + (i - 18 * 60) * minuteMs);
  const differing = minutes.filter((minute) => {
    const expected = slow.isOpenAt(hours, zones, minute);
    return (
      isOpen(hours, zones, minute) !== expected || isOpen(hours, zones, minute + minuteMs - 1) !== expected
    );
  });
  expect(differing.map((minute) => new Date(minute).toISOString())).toEqual([]);
}

/** Windows of a day that are apart or touch; most begin or end where clocks change. */
const dayWindows = fc
  .uniqueArray(
    fc.oneof(
      fc.constantFrom(0, 30, 60, 90, 105, 120, 135, 150, 165, 180, 240, 1380, 1440),
      fc.integer({ min: 0, max: 24 * 60 }),
    ),
    { maxLength: 6 },
  )
  .map((minutes) => {
    const sorted = minutes.toSorted((a, b) => a - b);
    return sorted.slice(1).flatMap((endMinute, i) => {
      const startMinute = sorted[i] ?? 0;
      return i % 2 === 0 || endMinute % 3 === 0 ? [{ startMinute, endMinute }] : [];
    });
  });

const dateNear = (atMs: number, days: number) => new Date(atMs + days * dayMs).toISOString().slice(0, 10);

const callingHours = (atMs: number): fc.Arbitrary<CallingHours> =>
  fc
    .record({
      week: fc.array(dayWindows, { minLength: 7, maxLength: 7 }),
      exceptions: fc.uniqueArray(
        fc.record({
          date: fc.integer({ min: -2, max: 4 }).map((days) => dateNear(atMs, days)),
          windows: dayWindows,
        }),
        { maxLength: 3, selector: ({ date }) => date },
      ),
      closeEarlyMs: fc.constantFrom(0, minuteMs, 2 * minuteMs, 30 * minuteMs),
    })
    .map(({ week, ...rest }) => ({
      ...rest,
      windows: week.flatMap((windows, i) => windows.map((each) => ({ days: [i + 1], ...each }))),
    }));

const allZones = Intl.supportedValuesOf("timeZone");
const changing = [
  "Africa/Cairo",
  "Africa/Casablanca",
  "Africa/El_Aaiun",
  "America/Asuncion",
  "America/Havana",
  "America/New_York",
  "America/Nuuk",
  "America/Santiago",
  "America/Scoresbysund",
  "America/St_Johns",
  "Antarctica/Troll",
  "Asia/Almaty",
  "Asia/Beirut",
  "Asia/Gaza",
  "Asia/Tehran",
  "Australia/Adelaide",
  "Australia/Lord_Howe",
  "Europe/Dublin",
  "Europe/Paris",
  "Pacific/Chatham",
  "Pacific/Easter",
] as const;

const near = (transitionMs: number, zone: string): fc.Arbitrary<Case> =>
  fc
    .integer({ min: -24 * 60, max: 12 * 60 })
    .map((minutes) => transitionMs + minutes * minuteMs)
    .chain((atMs) =>
      fc.record({
        hours: fc.array(callingHours(atMs), { minLength: 1, maxLength: 2 }),
        zones: fc
          .array(fc.constantFrom(...allZones), { maxLength: 2 })
          .map((others) => [zone, ...others.slice(0, others.length === 2 ? 1 : 0)]),
        atMs: fc.constant(atMs),
      }),
    );

const from = 2020;
const to = 2035;

describe("a second reader, who walks minute by minute, agrees", () => {
  test("near changes of the clocks, and anywhere else", () => {
    const cases = fc
      .record({
        zone: fc.oneof(fc.constantFrom(...changing), fc.constantFrom(...allZones)),
        year: fc.integer({ min: from, max: to }),
        which: fc.nat(),
      })
      .chain(({ zone, year, which }) => {
        const transitions = slow.transitions(zone, year, dayMs);
        return near(transitions[which % transitions.length] ?? Date.UTC(year, 0, which % 365), zone);
      });
    fc.assert(fc.property(cases, expectBothAgree), { numRuns: 60 });
  });

  // Some minutes long.
  test.runIf(process.env["HOURS"] === "full")(
    "at every change of every zone's clocks from 2020 to 2035",
    { timeout: 3_600_000 },
    () => {
      let changes = 0;
      for (const zone of allZones) {
        for (let year = from; year <= to; year++) {
          for (const atMs of slow.transitions(zone, year, dayMs / 4)) {
            fc.assert(fc.property(near(atMs, zone), expectBothAgree), { numRuns: 3 });
            changes++;
          }
        }
      }
      expect(changes).toBeGreaterThan(1_000);
    },
  );
});
