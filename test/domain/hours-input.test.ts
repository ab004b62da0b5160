import { describe, expect, test } from "vitest";
import {
  type CallingHoursInput,
  readCallingHours,
  writeTimeOfDay,
} from "../../src/domain/time/hours-input.ts";
import { refusal } from "../support/refusal.ts";

const field = "calling_hours";
const daily = { days: [1, 2, 3, 4, 5, 6, 7], start: "09:00", end: "17:00" };
const given = (input: Partial<CallingHoursInput>): CallingHoursInput => ({
  windows: [daily],
  exceptions: [],
  ...input,
});

describe("calling hours are read", () => {
  test("with windows, exceptions and the time to close early", () => {
    const hours = given({
      windows: [
        { days: [1, 2, 3, 4, 5], start: "09:00", end: "12:30" },
        { days: [1, 5], start: "12:30", end: "24:00" },
      ],
      exceptions: [
        { date: "2027-12-25", windows: [] },
        { date: "2028-02-29", windows: [{ start: "00:00", end: "00:01" }] },
      ],
      closeEarlyMs: 0,
    });
    expect(readCallingHours(hours, field)).toEqual({
      windows: [
        { days: [1, 2, 3, 4, 5], startMinute: 540, endMinute: 750 },
        { days: [1, 5], startMinute: 750, endMinute: 1440 },
      ],
      exceptions: [
        { date: "2027-12-25", windows: [] },
        { date: "2028-02-29", windows: [{ startMinute: 0, endMinute: 1 }] },
      ],
      closeEarlyMs: 0,
    });
  });

  test("two minutes early unless they say otherwise", () => {
    expect(readCallingHours(given({}), field).closeEarlyMs).toBe(120_000);
  });

  test("with exceptions alone", () => {
    const exceptions = [{ date: "2027-12-24", windows: [{ start: "10:00", end: "12:00" }] }];
    expect(readCallingHours(given({ windows: [], exceptions }), field).windows).toEqual([]);
  });

  test("with as many windows and exceptions as there may be", () => {
    const windows = Array.from({ length: 100 }, (_, i) => ({
      days: [1],
      start: writeTimeOfDay(i),
      end: writeTimeOfDay(i + 1),
    }));
    const exceptions = Array.from({ length: 400 }, (_, i) => ({
      date: new Date(Date.UTC(2027, 0, i + 1)).toISOString().slice(0, 10),
      windows: [],
    }));
    const hours = readCallingHours(given({ windows, exceptions }), field);
    expect([hours.windows.length, hours.exceptions.length]).toEqual([100, 400]);
  });
});

test.each([0, 1, 59, 60, 599, 600, 1439, 1440])("minute %i of a day is written as it is read", (minute) => {
  const start = minute === 1440 ? "00:00" : writeTimeOfDay(minute);
  const end = minute === 1440 ? writeTimeOfDay(minute) : "24:00";
  const { windows } = readCallingHours(given({ windows: [{ days: [1], start, end }] }), field);
  expect(windows).toEqual([{ days: [1], startMinute: minute % 1440, endMinute: 1440 }]);
});

describe("calling hours are refused, with what to write instead", () => {
  const window = (start: string, end: string, days = [1, 5, 7]) => given({ windows: [{ days, start, end }] });
  const exception = (date: string, ...windows: { start: string; end: string }[]) =>
    given({ exceptions: [{ date, windows }] });

  test.each<[string, CallingHoursInput, string, string]>([
    [
      "a window that passes midnight",
      window("22:00", "02:00"),
      "windows[0].end",
      "write two instead: 22:00 to 24:00 on days 1, 5, 7, and 00:00 to 02:00 on days 2, 6, 1.",
    ],
    [
      "a window of an exception that passes midnight",
      exception("2027-12-31", { start: "22:00", end: "02:00" }),
      "exceptions[0].windows[0].end",
      "write two instead: 22:00 to 24:00, and 00:00 to 02:00 on 2028-01-01.",
    ],
    [
      "midnight written as the start of a day",
      window("20:00", "00:00"),
      "windows[0].end",
      "is written 24:00.",
    ],
    ["an empty window", window("09:00", "09:00"), "windows[0].end", "for a whole day write 00:00 to 24:00."],
    ["a whole day without its end", window("00:00", "00:00"), "windows[0].end", "write 00:00 to 24:00."],
    ["a start at the end of a day", window("24:00", "24:00"), "windows[0].start", '"00:00" to "23:59".'],
    ["a start of one digit", window("9:00", "17:00"), "windows[0].start", '"00:00" to "23:59".'],
    ["a start with seconds", window("09:00:00", "17:00"), "windows[0].start", '"00:00" to "23:59".'],
    ["an end after midnight", window("09:00", "24:01"), "windows[0].end", '"00:01" to "24:00".'],
    ["an end that is none", window("09:00", "5 pm"), "windows[0].end", '"00:01" to "24:00".'],
    ["no day", window("09:00", "17:00", []), "windows[0].days", "from 1 (Monday) to 7 (Sunday)."],
    ["day 0", window("09:00", "17:00", [0]), "windows[0].days", "from 1 (Monday) to 7 (Sunday)."],
    ["day 8", window("09:00", "17:00", [1, 8]), "windows[0].days", "from 1 (Monday) to 7 (Sunday)."],
    ["half a day", window("09:00", "17:00", [1.5]), "windows[0].days", "from 1 (Monday) to 7 (Sunday)."],
    ["a day twice", window("09:00", "17:00", [3, 3]), "windows[0].days", "each day must be there once."],
    [
      "windows that overlap",
      given({ windows: [daily, { days: [6, 2], start: "16:30", end: "18:00" }] }),
      "windows[1]",
      "it overlaps windows[0] on Tuesday; write one window from 09:00 to 18:00 instead.",
    ],
    [
      "windows of an exception that overlap",
      exception("2027-12-24", { start: "09:00", end: "12:00" }, { start: "08:00", end: "13:00" }),
      "exceptions[0].windows[1]",
      "it overlaps windows[0]; write one window from 08:00 to 13:00 instead.",
    ],
    ["a date that is none", exception("24.12.2027"), "exceptions[0].date", 'such as "2027-12-24".'],
    ["a date with a time", exception("2027-12-24T00:00"), "exceptions[0].date", 'such as "2027-12-24".'],
    ["a date that is on no calendar", exception("2027-02-29"), "exceptions[0].date", "on the calendar"],
    [
      "a date twice",
      given({
        exceptions: [
          { date: "2027-12-25", windows: [] },
          { date: "2027-12-25", windows: [{ start: "09:00", end: "10:00" }] },
        ],
      }),
      "exceptions[1].date",
      "write one exception for a date, with all of its windows.",
    ],
    [
      "no window at all",
      given({ windows: [], exceptions: [{ date: "2027-12-25", windows: [] }] }),
      "windows",
      "write days 1, 2, 3, 4, 5, 6, 7 from 00:00 to 24:00.",
    ],
    [
      "too many windows",
      given({ windows: Array.from({ length: 101 }, () => daily) }),
      "windows",
      "at most 100, not 101.",
    ],
    [
      "too many exceptions",
      given({ exceptions: Array.from({ length: 401 }, () => ({ date: "2027-12-25", windows: [] })) }),
      "exceptions",
      "at most 400, not 401.",
    ],
    [
      "too many windows of an exception",
      exception("2027-12-24", ...Array.from({ length: 11 }, () => ({ start: "09:00", end: "10:00" }))),
      "exceptions[0].windows",
      "at most 10, not 11.",
    ],
    ["a time to close early below 0", given({ closeEarlyMs: -1 }), "close_early", "from 0 to 60 minutes."],
    ["a time to close early of hours", given({ closeEarlyMs: 3_600_001 }), "close_early", "to 60 minutes."],
    [
      "a time to close early that is none",
      given({ closeEarlyMs: Number.NaN }),
      "close_early",
      "to 60 minutes.",
    ],
  ])("%s", async (_, input, place, words) => {
    const refused = await refusal(() => readCallingHours(input, field));
    expect(refused).toMatchObject({
      reason: "invalid_argument",
      metadata: { field: `${field}.${place}` },
    });
    expect(refused.message).toContain(`The request's field ${field}.${place} is wrong: `);
    expect(refused.message).toContain(words);
  });
});
