import { describe, expect, test } from "vitest";
import { readRetryAfterMs, retryDelayMs } from "../../src/webhooks/retry-times.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

describe("after a failure the next attempt is made", () => {
  test.each([
    [1, 5_000],
    [2, 300_000],
    [3, 1_800_000],
    [4, 2 * hourMs],
    [5, 5 * hourMs],
    [6, 10 * hourMs],
    [7, 14 * hourMs],
    [8, 20 * hourMs],
    [9, dayMs],
  ])("for attempt %i after %i ms, a fifth more or less", (attempt, delayMs) => {
    const delays = [0, 0.5, 1].map((random) => retryDelayMs(attempt, undefined, random));
    expect(delays).toEqual([delayMs * 0.8, delayMs, delayMs * 1.2]);
  });

  test("no more after the tenth", () => {
    expect(retryDelayMs(10, undefined, 0.5)).toBeUndefined();
    expect(retryDelayMs(10, 1_000, 0.5)).toBeUndefined();
  });

  test.each([
    ["a minute", 60_000, 60_000],
    ["a day", dayMs, dayMs],
    ["more than a day", 2 * dayMs, dayMs],
    ["less than it waits anyway", 1_000, 5_000],
    ["nothing", 0, 5_000],
  ])("not before its receiver asked for: %s", (_, askedMs, delayMs) => {
    expect(retryDelayMs(1, askedMs, 0.5)).toBe(delayMs);
  });
});

test.each([
  ["120", 120_000],
  ["0", 0],
  ["9999999999", 9_999_999_999_000],
  ["Fri, 27 Nov 2026 06:00:30 GMT", 30_000],
  ["Fri, 27 Nov 2026 05:00:00 GMT", 0],
  ["Friday, 27-Nov-26 06:00:30 GMT", 30_000],
  [undefined, undefined],
  ["", undefined],
  ["-5", undefined],
  ["1.5", undefined],
  ["soon", undefined],
  ["2026-11-27", undefined],
  ["Fri, 99 Nov 2026 06:00:30 GMT", undefined],
  ["1e9", undefined],
])("Retry-After: %s asks for %s ms", (header, ms) => {
  expect(readRetryAfterMs(header, Date.parse("2026-11-27T06:00:00Z"))).toBe(ms);
});
