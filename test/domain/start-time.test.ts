import { describe, expect, test } from "vitest";
import { checkFuture, parseStartTime, shiftStartTime } from "../../src/domain/time/start-time.ts";
import { refusal } from "../support/refusal.ts";

describe("a start time means", () => {
  test.each([
    // Wall-clock time in the zone.
    ["2027-03-01T10:00:00", "America/New_York", "2027-03-01T15:00:00.000Z"],
    ["2027-07-01T10:00:00", "America/New_York", "2027-07-01T14:00:00.000Z"],
    ["2027-03-01T10:00:00", "UTC", "2027-03-01T10:00:00.000Z"],
    ["2027-03-01T10:00", "Asia/Kolkata", "2027-03-01T04:30:00.000Z"],
    ["2027-03-01T10:00:00", "Pacific/Kiritimati", "2027-02-28T20:00:00.000Z"],
    ["2027-03-01T10:00:00", "Etc/GMT+5", "2027-03-01T15:00:00.000Z"],
    // With an offset the zone does not matter.
    ["2027-03-01T10:00:00Z", "America/New_York", "2027-03-01T10:00:00.000Z"],
    ["2027-03-01T10:00Z", "America/New_York", "2027-03-01T10:00:00.000Z"],
    ["2027-03-01T10:00:00+05:30", "America/New_York", "2027-03-01T04:30:00.000Z"],
    ["2027-03-01T10:00:00-05:00", "UTC", "2027-03-01T15:00:00.000Z"],
    ["2027-03-01T10:00:00-00:00", "UTC", "2027-03-01T10:00:00.000Z"],
    ["2027-03-01T00:30:00-00:45", "UTC", "2027-03-01T01:15:00.000Z"],
    ["2027-03-01T10:00:00+23:59", "UTC", "2027-02-28T10:01:00.000Z"],
    ["2027-03-01T10:00:00-23:59", "UTC", "2027-03-02T09:59:00.000Z"],
    ["2027-03-14T02:30:00-05:00", "America/New_York", "2027-03-14T07:30:00.000Z"],
    // A fraction is cut to milliseconds, never rounded.
    ["2027-03-01T10:00:00.5", "UTC", "2027-03-01T10:00:00.500Z"],
    ["2027-03-01T10:00:00.123456789Z", "UTC", "2027-03-01T10:00:00.123Z"],
    ["2027-03-01T10:00:59.9999999999", "UTC", "2027-03-01T10:00:59.999Z"],
    ["2027-03-01T10:00:00.0009+01:00", "UTC", "2027-03-01T09:00:00.000Z"],
    // Leap days.
    ["2028-02-29T10:00:00", "UTC", "2028-02-29T10:00:00.000Z"],
    ["2000-02-29T10:00:00", "UTC", "2000-02-29T10:00:00.000Z"],
    // The ends of the calendar.
    ["0001-01-01T00:00:00", "UTC", "0001-01-01T00:00:00.000Z"],
    ["0099-12-31T23:59:59Z", "UTC", "0099-12-31T23:59:59.000Z"],
    ["9999-12-31T23:59:59.9999", "UTC", "9999-12-31T23:59:59.999Z"],
    ["9999-12-31T23:59:59+14:00", "UTC", "9999-12-31T09:59:59.000Z"],
  ])("%s in %s: %s", (text, zone, instant) => {
    expect(parseStartTime(text, zone).toISOString()).toBe(instant);
  });
});

describe("a time that occurs twice means the first", () => {
  test.each([
    ["2027-11-07T01:00:00", "America/New_York", "2027-11-07T05:00:00.000Z"],
    ["2027-11-07T01:30:00", "America/New_York", "2027-11-07T05:30:00.000Z"],
    ["2027-11-07T01:59:59.999", "America/New_York", "2027-11-07T05:59:59.999Z"],
    ["2027-10-31T02:30:00", "Europe/Berlin", "2027-10-31T00:30:00.000Z"],
    ["2027-04-04T01:45:00", "Australia/Lord_Howe", "2027-04-03T14:45:00.000Z"],
  ])("%s in %s: %s", (text, zone, instant) => {
    expect(parseStartTime(text, zone).toISOString()).toBe(instant);
  });

  test.each([
    ["2027-11-07T00:59:59", "America/New_York", "2027-11-07T04:59:59.000Z"],
    ["2027-11-07T02:00:00", "America/New_York", "2027-11-07T07:00:00.000Z"],
    ["2027-04-04T02:00:00", "Australia/Lord_Howe", "2027-04-03T15:30:00.000Z"],
  ])("%s in %s beside it occurs once: %s", (text, zone, instant) => {
    expect(parseStartTime(text, zone).toISOString()).toBe(instant);
  });
});

describe("a time that the clocks skip is refused with its neighbours", () => {
  const gaps = [
    ["2027-03-14T02:00:00", "America/New_York", "2027-03-14T01:59:59", "2027-03-14T03:00:00"],
    ["2027-03-14T02:59:59.999", "America/New_York", "2027-03-14T01:59:59", "2027-03-14T03:00:00"],
    ["2027-03-28T02:30", "Europe/Berlin", "2027-03-28T01:59:59", "2027-03-28T03:00:00"],
    // Half an hour.
    ["2027-10-03T02:15:00", "Australia/Lord_Howe", "2027-10-03T01:59:59", "2027-10-03T02:30:00"],
    // Midnight.
    ["2027-04-30T00:00:00", "Africa/Cairo", "2027-04-29T23:59:59", "2027-04-30T01:00:00"],
    // A whole day.
    ["2011-12-30T00:00:00", "Pacific/Apia", "2011-12-29T23:59:59", "2011-12-31T00:00:00"],
    ["2011-12-30T23:59:59", "Pacific/Apia", "2011-12-29T23:59:59", "2011-12-31T00:00:00"],
    // The zone has another standard time today.
    ["2012-03-25T00:30:00", "America/Scoresbysund", "2012-03-24T23:59:59", "2012-03-25T01:00:00"],
  ] as const;

  test.each(gaps)("%s in %s: %s and %s are named", async (text, zone, last, next) => {
    expect(await refusal(() => parseStartTime(text, zone))).toEqual({
      reason: "invalid_datetime",
      message: `"${text}" does not occur in ${zone}: the clocks skip from ${last} to ${next}; give one of these.`,
      metadata: { field: "scheduled_start_time", validBefore: last, validAfter: next },
    });
  });

  test.each(gaps)("what is named for %s in %s is accepted, and a second apart", (_, zone, last, next) => {
    const between = parseStartTime(next, zone).getTime() - parseStartTime(last, zone).getTime();
    expect(between).toBe(1000);
  });
});

describe("not a date-time", () => {
  test.each([
    "",
    "tomorrow",
    "2027-03-01",
    "10:00:00",
    "2027-03-01T",
    "2027-03-01T10",
    "2027-03-01t10:00:00",
    "2027-03-01T10:00:00z",
    "2027-03-01 10:00:00",
    " 2027-03-01T10:00:00",
    "2027-03-01T10:00:00\n",
    "2027-03-01T10:00:00 Z",
    "2027-03-01T24:00:00",
    "2027-03-01T10:60:00",
    "2027-03-01T10:00:60",
    "2027-03-01T10:00:00.",
    "2027-03-01T10:00:00,5",
    "2027-03-01T10:00.5",
    "20270301T100000",
    "2027-03-01T1000",
    "2027-W09-1T10:00:00",
    "2027-060T10:00:00",
    "2027-3-1T10:00:00",
    "27-03-01T10:00:00",
    "+002027-03-01T10:00:00",
    "-2027-03-01T10:00:00",
    "12027-03-01T10:00:00",
    "0000-01-01T00:00:00",
    "2027-03-01T10:00:00+24:00",
    "2027-03-01T10:00:00+05:60",
    "2027-03-01T10:00:00+0530",
    "2027-03-01T10:00:00+05",
    "2027-03-01T10:00:00\u221205:00",
    "2027-03-01T10:00:00[America/New_York]",
    "1803895200",
    "\u0662\u0660\u0662\u0667-03-01T10:00:00",
  ])("%j is refused with an example of one", async (text) => {
    const refused = await refusal(() => parseStartTime(text, "UTC"));
    expect(refused).toMatchObject({
      reason: "invalid_datetime",
      metadata: { field: "scheduled_start_time" },
    });
    expect(refused.message).toContain(
      `${JSON.stringify(text)} is not a date-time; write "2027-03-01T10:00:00"`,
    );
  });

  test.each(["2027-02-29T10:00:00", "2100-02-29T10:00:00Z", "2027-04-31T10:00:00", "2027-13-01T10:00:00"])(
    "%s is refused as not on the calendar",
    async (text) => {
      const refused = await refusal(() => parseStartTime(text, "UTC"));
      expect(refused.reason).toBe("invalid_datetime");
      expect(refused.message).toContain("is not on the calendar");
    },
  );

  test.each(["2027-00-01T10:00:00", "2027-01-00T10:00:00"])("%s has a zero and is refused", async (text) => {
    expect(await refusal(() => parseStartTime(text, "UTC"))).toMatchObject({ reason: "invalid_datetime" });
  });

  test.each([
    ["9999-12-31T23:59:59", "America/New_York"],
    ["9999-12-31T23:59:59-00:01", "UTC"],
  ])("%s in %s is after the last instant there is", async (text, zone) => {
    expect(await refusal(() => parseStartTime(text, zone))).toMatchObject({
      reason: "invalid_datetime",
      message: `"${text}" is too late; the latest start time is 9999-12-31T23:59:59.999Z.`,
    });
  });

  test("very long text is refused, and its refusal is short", async () => {
    const refused = await refusal(() => parseStartTime("2027-03-01T10:00:00".repeat(100_000), "UTC"));
    expect(refused.reason).toBe("invalid_datetime");
    expect(refused.message.length).toBeLessThan(300);
  });
});

describe("the future", () => {
  const now = new Date("2027-03-01T15:00:00.000Z");

  test("begins a millisecond from now", () => {
    expect(() => checkFuture(new Date(now.getTime() + 1), now)).not.toThrow();
  });

  test.each([
    ["now", 0],
    ["a millisecond ago", -1],
    ["a year ago", -365 * 86_400_000],
  ])("does not hold %s", async (_, byMs) => {
    const instant = new Date(now.getTime() + byMs);
    expect(await refusal(() => checkFuture(instant, now))).toEqual({
      reason: "past_scheduled_time",
      message: `The start time ${instant.toISOString()} is not in the future; it is 2027-03-01T15:00:00.000Z now.`,
      metadata: { field: "scheduled_start_time", now: "2027-03-01T15:00:00.000Z" },
    });
  });
});

const halfADayBeforeTheEnd = () => shiftStartTime(new Date("9999-12-31T12:00:00Z"), 43_200_000, "UTC");

describe("a start that is shifted is shown as so much later, or earlier", () => {
  test.each([
    // Over a change of the clocks it is the same time of day.
    ["2027-03-27T09:00:00Z", "Europe/Berlin", 24, "2027-03-28T10:00:00", "2027-03-28T08:00:00.000Z"],
    ["2027-03-28T08:00:00Z", "Europe/Berlin", -24, "2027-03-27T10:00:00", "2027-03-27T09:00:00.000Z"],
    ["2027-10-30T08:00:00Z", "Europe/Berlin", 24, "2027-10-31T10:00:00", "2027-10-31T09:00:00.000Z"],
    ["2027-10-02T15:00:00Z", "Australia/Lord_Howe", 24, "2027-10-04T01:30:00", "2027-10-03T14:30:00.000Z"],
    // An hour of the clocks is two hours where they go back, and none where they jump over it.
    ["2027-10-31T00:30:00Z", "Europe/Berlin", 1, "2027-10-31T03:30:00", "2027-10-31T02:30:00.000Z"],
    ["2027-03-28T00:30:00Z", "Europe/Berlin", 2, "2027-03-28T03:30:00", "2027-03-28T01:30:00.000Z"],
    // A time that occurs twice means the first.
    ["2027-10-30T00:30:00Z", "Europe/Berlin", 24, "2027-10-31T02:30:00", "2027-10-31T00:30:00.000Z"],
    ["2027-11-01T01:30:00Z", "Europe/Berlin", -24, "2027-10-31T02:30:00", "2027-10-31T00:30:00.000Z"],
    ["2027-10-31T01:30:00Z", "Europe/Berlin", -0.25, "2027-10-31T02:15:00", "2027-10-31T00:15:00.000Z"],
    // But no start that is moved forward goes back by that.
    ["2027-10-31T01:15:00Z", "Europe/Berlin", 0.5, "2027-10-31T02:45:00+01:00", "2027-10-31T01:45:00.000Z"],
    [
      "2027-11-07T06:15:00Z",
      "America/New_York",
      0.25,
      "2027-11-07T01:30:00-05:00",
      "2027-11-07T06:30:00.000Z",
    ],
    // Milliseconds, leap days, and a zone that left a day out.
    ["2027-03-01T10:00:00.250Z", "UTC", 1, "2027-03-01T11:00:00.250", "2027-03-01T11:00:00.250Z"],
    ["2028-02-28T10:00:00Z", "UTC", 24, "2028-02-29T10:00:00", "2028-02-29T10:00:00.000Z"],
    ["2011-12-29T20:00:00Z", "Pacific/Apia", 48, "2011-12-31T10:00:00", "2011-12-30T20:00:00.000Z"],
  ])("%s in %s by %s h: %s, which is %s", (start, zone, hours, words, instant) => {
    const shifted = shiftStartTime(new Date(start), hours * 3_600_000, zone);
    expect(shifted).toBe(words);
    expect(parseStartTime(shifted, zone).toISOString()).toBe(instant);
  });

  test("and refused where that is after the year 9999", async () => {
    expect(await refusal(halfADayBeforeTheEnd)).toMatchObject({ reason: "invalid_datetime" });
    expect(halfADayBeforeTheEnd).toThrow(/is too late; the latest start time is 9999-12-31T23:59:59.999Z/);
  });
});
