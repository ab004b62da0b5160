import { describe, expect, test } from "vitest";
import { readStartTime } from "../../src/console/ui/format/start-time.ts";
import { duration, fromNow } from "../../src/console/ui/format/times.ts";
import { share } from "../../src/console/ui/format/numbers.ts";
import { parseStartTime } from "../../src/domain/start-time.ts";

const now = new Date("2030-01-01T00:00:00Z");

describe("a picked start time", () => {
  test.each([
    ["2035-03-01", "10:00", "America/New_York"],
    ["2035-07-01", "10:00", "europe/berlin"],
    ["2035-11-04", "01:30", "America/New_York"],
    ["2035-03-01", "10:00:05", ""],
  ])("means what the service takes it for: %s %s %s", (date, time, zone) => {
    const reading = readStartTime(date, time, zone, now);
    expect(reading).toMatchObject({ kind: "instant", at: parseStartTime(`${date}T${time}`, zone || "UTC") });
  });

  test.each([
    ["2035-03-11", "02:30", "America/New_York", "time", /the clocks skip from 01:59 to 03:00/],
    ["2035-02-30", "10:00", "UTC", "time", /not on the calendar/],
    ["2035-03-01", "10:00", "Mars/Olympus", "zone", /not an IANA time zone/],
    ["2035-03-01", "10:00", "+02:00", "zone", /not an IANA time zone/],
  ])("that does not exist is refused in words: %s %s %s", (date, time, zone, field, problem) => {
    expect(readStartTime(date, time, zone, now)).toEqual({
      kind: "wrong",
      field,
      problem: expect.stringMatching(problem),
    });
  });

  test.each([
    ["2035-11-04", "01:30", "America/New_York", [/comes twice.*UTC-04:00.*UTC-05:00.*first/]],
    ["2035-04-01", "01:45", "Australia/Lord_Howe", [/comes twice.*UTC\+11:00.*UTC\+10:30.*first/]],
    ["2029-12-31", "23:59", "UTC", [/in the past/]],
    ["2035-11-04", "03:30", "America/New_York", []],
  ])("has what is peculiar about it said: %s %s %s", (date, time, zone, remarks) => {
    expect(readStartTime(date, time, zone, now)).toMatchObject({
      remarks: remarks.map((remark) => expect.stringMatching(remark)),
    });
  });

  test("means nothing while a part of it is missing", () => {
    expect(readStartTime("", "10:00", "UTC", now)).toEqual({ kind: "nothing" });
    expect(readStartTime("2035-03-01", "", "UTC", now)).toEqual({ kind: "nothing" });
  });
});

test.each([
  [12, "12 ms"],
  [2_400, "2.4 s"],
  [300_000, "5 min"],
  [5_400_000, "1 h 30 min"],
  [90_000_000, "1 d 1 h"],
])("%i ms is said as %s", (ms, words) => {
  expect(duration(ms)).toBe(words);
});

test("how far away an instant is, is said in whole seconds", () => {
  expect(fromNow(new Date("2030-01-01T00:05:00.400Z"), now)).toBe("in 5 min");
  expect(fromNow(new Date("2029-12-31T23:59:57Z"), now)).toBe("3 s ago");
});

test.each([
  [0, 0, "0%"],
  [1, 1_000, "< 1%"],
  [999, 1_000, "> 99%"],
  [1_000, 1_000, "100%"],
  [1, 3, "33%"],
])("%i of %i is %s", (part, all, words) => {
  expect(share(part, all)).toBe(words);
});
