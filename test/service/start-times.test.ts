import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, describe, expect, test } from "vitest";
import { startTestService } from "../support/service.ts";
import { answered, bothListeners, callerFor } from "./callers.ts";
import { allRows, refusedAs } from "./refused.ts";

const service = await startTestService();
const { db } = service;
afterAll(() => service[Symbol.asyncDispose]());

const aJob = { name: "Spring campaign", fromPhoneNumberId: "pn_1" };
const { batchJobId } = await answered<{ batchJobId: string }>(
  callerFor("plain fetch", service)("createBatchJob", aJob),
);

const noDateTimes = [
  "tomorrow",
  "2031",
  "2031-01-01",
  "2031-01-01T10",
  "2031-01-01T10:00Z ",
  " 2031-01-01T10:00Z",
  "2031-01-01 10:00:00",
  "2031-01-01t10:00:00",
  "2031-01-01T10:00:00z",
  "2031-01-01T10:00:00.",
  "2031-01-01T10:00:00,5",
  "2031-01-01T10:00:00+0530",
  "2031-01-01T10:00:00+24:00",
  "2031-01-01T10:00:00+05",
  "2031-01-01T10:00:00[Europe/Berlin]",
  "2031-W01-1T10:00",
  "2031-001T10:00",
  "20310101T100000",
  "+002031-01-01T10:00",
  "-2031-01-01T10:00",
  "２０３１-01-01T10:00",
  "2031-01-01T24:00:00",
  "2031-01-01T23:60:00",
  "2031-06-30T23:59:60Z",
  "0000-01-01T00:00:00Z",
  "1925000000000",
  "\0",
  "🦜".repeat(1000),
];

const offTheCalendar = [
  "2031-00-10T10:00",
  "2031-13-01T10:00",
  "2031-01-00T10:00",
  "2031-01-32T10:00",
  "2031-04-31T10:00",
  "2031-02-29T10:00",
  "2100-02-29T10:00",
];

const gaps: [string, string, RegExp][] = [
  ["2031-03-09T02:30:00", "America/New_York", /2031-03-09T01:59:59.*2031-03-09T03:00:00/],
  ["2031-03-09T02:00:00", "America/New_York", /2031-03-09T01:59:59.*2031-03-09T03:00:00/],
  ["2031-03-30T02:59:59.999", "europe/berlin", /2031-03-30T01:59:59.*2031-03-30T03:00:00/],
  // Half an hour, and in October: the clocks go forward in the southern spring.
  ["2031-10-05T02:15:00", "Australia/Lord_Howe", /2031-10-05T01:59:59.*2031-10-05T02:30:00/],
];

const noZones = [
  "Mars/Olympus",
  "America/New York",
  "America",
  "New_York",
  "+05:00",
  "-0500",
  "05:00",
  "UTC+5",
  " UTC",
  "UTC ",
  "local",
  "Europe/Berlin\0",
  "Europe/Berlin/",
  "🦜",
  "x".repeat(1000),
];

const past = ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999Z", "2024-02-29T10:00:00"];

const tooLate = ["9999-12-31T23:59:59.999-00:01", "9999-12-31T23:59:59-12:00"];

const both = (refused: ReturnType<typeof refusedAs>) => ({ moved: refused, created: refused });

describe.each(bothListeners)("%s", (name) => {
  const call = callerFor(name, service);

  /** The answers to both ways to ask for a time; nothing may change. */
  async function ask(time: JsonObject) {
    const before = await allRows(db);
    const moved = await call("rescheduleBatchJob", { batchJobId, ...time });
    const created = await call("createBatchJob", { ...aJob, ...time });
    expect(await allRows(db)).toEqual(before);
    return { moved, created };
  }

  const field = "scheduled_start_time";

  test.each([...noDateTimes, ...offTheCalendar, ...tooLate])(
    "refuses a start time that is none: %j",
    async (scheduledStartTime) => {
      expect(await ask({ scheduledStartTime })).toEqual(
        both(refusedAs("invalid_datetime", "invalid_argument", { field })),
      );
    },
  );

  test("refuses to reschedule without a start time", async () => {
    expect(await call("rescheduleBatchJob", { batchJobId, timezone: "UTC" })).toEqual(
      refusedAs("invalid_datetime", "invalid_argument", { field }),
    );
  });

  test.each(gaps)("refuses %s in %s, which the clocks skip, and names its neighbours", async (...row) => {
    const [scheduledStartTime, timezone, neighbours] = row;
    expect(await ask({ scheduledStartTime, timezone })).toEqual(
      both(
        refusedAs(
          "invalid_datetime",
          "invalid_argument",
          { field, validBefore: expect.any(String), validAfter: expect.any(String) } as JsonObject,
          neighbours,
        ),
      ),
    );
  });

  test.each(past)("refuses a start time in the past: %s", async (scheduledStartTime) => {
    expect(await ask({ scheduledStartTime })).toEqual(
      both(
        refusedAs("past_scheduled_time", "invalid_argument", {
          field,
          now: expect.stringMatching(/^20\d\d-.*Z$/),
        } as JsonObject),
      ),
    );
  });

  test.each(noZones)("refuses a zone that is none: %j", async (timezone) => {
    for (const scheduledStartTime of ["2031-01-01T10:00", "2031-01-01T10:00Z", "not a time"]) {
      expect(await ask({ scheduledStartTime, timezone })).toEqual(
        both(refusedAs("invalid_timezone", "invalid_argument", { field: "timezone" })),
      );
    }
    expect(await call("createBatchJob", { ...aJob, timezone })).toEqual(
      refusedAs("invalid_timezone", "invalid_argument", { field: "timezone" }),
    );
  });

  test.each([
    ["2032-02-29T10:00", "", "2032-02-29T10:00:00Z", "UTC"],
    ["2031-01-01T10:00:00.123987", "utc", "2031-01-01T10:00:00.123Z", "UTC"],
    ["2031-01-01T10:00:00+23:59", "", "2030-12-31T10:01:00Z", "UTC"],
    ["2031-01-01T10:00:00-00:00", "asia/KOLKATA", "2031-01-01T10:00:00Z", "Asia/Kolkata"],
    [
      "2031-07-01T10:00",
      "AMERICA/ARGENTINA/BUENOS_AIRES",
      "2031-07-01T13:00:00Z",
      "America/Argentina/Buenos_Aires",
    ],
    // Twice in the night; the first one counts.
    ["2031-11-02T01:30:00", "america/new_york", "2031-11-02T05:30:00Z", "America/New_York"],
    ["2031-10-26T02:59:59.999", "Europe/Berlin", "2031-10-26T00:59:59.999Z", "Europe/Berlin"],
    // The first moment after a gap, and one in it that has an offset of its own.
    ["2031-03-09T03:00:00", "America/New_York", "2031-03-09T07:00:00Z", "America/New_York"],
    ["2031-03-09T02:30:00-05:00", "America/New_York", "2031-03-09T07:30:00Z", "America/New_York"],
    ["9999-12-31T23:59:59.999Z", "", "9999-12-31T23:59:59.999Z", "UTC"],
  ])("takes %s in %j to be %s", async (requestedStartTime, timezone, instant, zone) => {
    const time = { scheduledStartTime: requestedStartTime, timezone };
    const { batchJobId: id } = await answered<{ batchJobId: string }>(
      call("createBatchJob", { ...aJob, ...time }),
    );
    expect(await call("getBatchJob", { batchJobId: id })).toMatchObject({
      ok: { batchJob: { requestedStartTime, scheduledStartTime: instant, timezone: zone } },
    });
    expect(await call("rescheduleBatchJob", { batchJobId: id, ...time })).toMatchObject({
      ok: { scheduledStartTime: instant, oldJobCancelled: true },
    });
  });

  test("takes a duration below a millisecond for 0", async () => {
    const delays = { retryDelays: ["0.000999999s", "1.000999999s", "2592000s"] };
    const { batchJobId: id } = await answered<{ batchJobId: string }>(
      call("createBatchJob", { ...aJob, ...delays }),
    );
    expect(await call("getBatchJob", { batchJobId: id })).toMatchObject({
      ok: { batchJob: { retryDelays: ["0s", "1s", "2592000s"] } },
    });
  });
});
